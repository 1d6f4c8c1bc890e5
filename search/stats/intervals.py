"""What a few seeds say of a candidate: a cautious score, and what one fresh seed will show.

Scores are shares of right examples, so intervals are cut at [0, 1]; failures stand among the
samples at the floor. Normal theory with small samples: Hahn & Meeker, "Statistical Intervals"
(Wiley 1991), sections 4.2 and 4.7 (2nd ed. by Meeker, Hahn & Escobar, 2017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.stats.spreads import (
    NO_SPREAD,
    Key,
    Spread,
    cautious_spreads,
    floored,
    mean_of_seeds,
    squares,
)
from search.stats.student import t_quantile

Bounds = tuple[float, float]

_QUANTILES = 4000
_MOST_SEEDS = 1 << 20


@dataclass(frozen=True)
class RobustScore:
    """A candidate over its seeds.

    Attributes:
        lower: lower confidence bound of the mean, the robust score.
        mean: mean over the seeds.
        sd: standard deviation over this candidate's seeds alone; 0 for one seed.
        seeds: how many there are.
        foreseen: lower bound of the mean of so many further seeds as were asked for.
    """

    lower: float
    mean: float
    sd: float
    seeds: int
    foreseen: float


@dataclass(frozen=True)
class Interval:
    """Both ends are included."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def width(self) -> float:
        return self.high - self.low


def share_interval(share: float, examples: float, confidence: float = 0.9) -> Interval:
    """Where the share of all such examples lies, that was found on so many of them.

    Wilson's interval (Journal of the American Statistical Association 22, 1927): what one model
    would score on more examples, not what another seed would.

    >>> found = share_interval(0.5, 200)
    >>> round(found.low, 4), round(found.high, 4)
    (0.4422, 0.5578)
    """
    from scipy.stats import binomtest

    found = binomtest(round(share * examples), round(examples))
    low, high = found.proportion_ci(confidence, "wilson")
    return Interval(float(low), float(high))


def for_each(confidence: float, candidates: int) -> float:
    """The confidence of each candidate's bound with which all hold at once.

    confidence^(1 / k) (Sidak, Journal of the American Statistical Association 62, 1967): exact
    for independent bounds, cautious for ones that share a spread. A bound that holds for all holds
    for the one that was chosen, whichever it is and however it was chosen among them.

    >>> round(for_each(0.9, 3), 4)
    0.9655
    """
    return float(confidence ** (1 / candidates))


def robust_scores(
    samples: Mapping[Key, Sequence[float]],
    confidence: float = 0.9,
    bounds: Bounds = (0.0, 1.0),
    examples: int | None = None,
    further: int = 3,
) -> dict[Key, RobustScore]:
    """One-sided lower confidence bounds of the candidates' means that all hold at once.

    mean_i - t(`for_each`, df_i) s_i / sqrt(n_i), with s_i and df_i from `cautious_spreads` (Hahn &
    Meeker 4.2), not below `bounds`; of the mean of m further seeds, with sqrt(1 / n_i + 1 / m) in
    the place of 1 / sqrt(n_i) (ibid. 4.7). `examples` is how many examples a score is a share of:
    s_i is then at least `resolution_sd`. Where nothing is known of the spread (no candidate has two
    seeds, or all seeds agree exactly and there is no `examples`) every bound is the lowest one; so
    rank candidates by (lower, mean).

    Args:
        further: m, at least 1.

    >>> robust_scores({"a": [0.9, 0.8, 0.7], "b": [0.5]})["a"].lower
    0.6339...
    """
    spreads = cautious_spreads(samples, examples)
    level = for_each(confidence, len(samples))
    found = {}
    for key, scores in samples.items():
        mean, spread, n = mean_of_seeds(scores), spreads[key], len(scores)
        lower = foreseen = bounds[0]
        if spread.df > 0 and spread.sd > NO_SPREAD:
            margin = t_quantile(level, spread.df) * spread.sd
            lower = max(bounds[0], mean - margin / math.sqrt(n))
            foreseen = max(bounds[0], mean - margin * math.sqrt(1 / n + 1 / further))
        own = math.sqrt(squares(scores) / (n - 1)) if n > 1 else 0.0
        found[key] = RobustScore(lower, mean, own, n, foreseen)
    return found


def prediction_interval(
    samples: Sequence[float],
    confidence: float = 0.9,
    bounds: Bounds = (0.0, 1.0),
    spread: Spread | None = None,
    examples: int | None = None,
) -> Interval:
    """Where the score of one fresh seed falls with probability `confidence`.

    mean ± t(1 - (1 - confidence) / 2, n - 1) * s * sqrt(1 + 1/n), cut at `bounds` (Hahn & Meeker
    4.7 for one future observation). The coverage is over samples and fresh seed together, and
    holds only if these seeds took no part in choosing the candidate.

    Args:
        samples: scores of n >= 1 seeds.
        spread: used instead of the samples' own, as a single seed needs.
        examples: how many examples a score is a share of: s is then at least `resolution_sd`.

    Where nothing is known of the spread (one seed and no `spread`, or seeds that agree exactly
    and no `examples`) the interval is the bounds.
    """
    n, mean = len(samples), mean_of_seeds(samples)
    if spread is None:
        spread = Spread(math.sqrt(squares(samples) / (n - 1)), n - 1) if n > 1 else Spread(0.0, 0)
    sd = floored(spread.sd, mean, examples)
    if spread.df == 0 or sd <= NO_SPREAD:
        return Interval(*bounds)
    quantile = t_quantile((1 + confidence) / 2, spread.df)
    margin = quantile * sd * math.sqrt(1 + 1 / n)
    return Interval(max(bounds[0], mean - margin), min(bounds[1], mean + margin))


@dataclass(frozen=True)
class Difference:
    """Two candidates' means over their own seeds.

    Attributes:
        mean: the first's mean minus the second's, more is better for the first.
        low: lower end of the confidence interval; -inf where the spread is unknown.
        high: its upper end.
        df: degrees of freedom; 0 where the spread is unknown.
        wins: probability that one fresh seed of the first beats one of the second; None where the
            spread is unknown.
        seeds: seeds each, at the spread seen so far, with which the interval around a difference
            of this size would leave out 0; None where it is 0 or the spread is unknown.
    """

    mean: float
    low: float
    high: float
    df: float
    wins: float | None
    seeds: int | None

    @property
    def settled(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0.0 or self.high < 0.0


def difference(
    first: Sequence[float],
    second: Sequence[float],
    confidence: float = 0.9,
    *,
    maximize: bool = True,
    examples: int | None = None,
) -> Difference:
    """How two candidates compare, with spreads of their own; failures stand at the floor.

    The interval is Welch's (Biometrika 34, 1947): with v_i = s_i^2 / n_i, the difference of the
    means +- t((1 + confidence) / 2, df) sqrt(v_1 + v_2), with
    df = (v_1 + v_2)^2 / (v_1^2 / (n_1 - 1) + v_2^2 / (n_2 - 1)).

    One fresh seed of each is distributed as mean_i + s_i sqrt(1 + 1 / n_i) t(n_i - 1): the
    posterior predictive of a normal sample under the prior 1 / sigma^2 (Gelman et al., "Bayesian
    Data Analysis", 3rd ed., section 3.2). `wins` is P(x_1 > x_2) of two such, integrated
    numerically, not cut at the ends of the scale.

    Args:
        first: scores of n_1 >= 1 seeds; with one seed of either nothing is known of the spread.
        maximize: whether more is better.
        examples: how many examples a score is a share of: s is then at least `resolution_sd`.
    """
    sign = 1.0 if maximize else -1.0
    means, sizes = [mean_of_seeds(scores) for scores in (first, second)], [len(first), len(second)]
    gap = sign * (means[0] - means[1])
    known = min(sizes) > 1
    sds = [
        floored(math.sqrt(squares(scores) / (len(scores) - 1)), mean, examples) if known else 0.0
        for scores, mean in zip((first, second), means, strict=True)
    ]
    if not known or max(sds) <= NO_SPREAD:
        return Difference(gap, -math.inf, math.inf, 0.0, None, None)
    df, margin = _welch(sds, sizes, confidence)
    low, high = gap - margin, gap + margin
    return Difference(gap, low, high, df, _wins(gap, sds, sizes), _seeds(gap, sds, confidence))


def _welch(sds: Sequence[float], sizes: Sequence[int], confidence: float) -> tuple[float, float]:
    """Degrees of freedom, and half the width of the interval."""
    shares = [sd**2 / n for sd, n in zip(sds, sizes, strict=True)]
    parts = sum(share**2 / (n - 1) for share, n in zip(shares, sizes, strict=True))
    df = sum(shares) ** 2 / parts
    return df, t_quantile((1 + confidence) / 2, df) * math.sqrt(sum(shares))


def _wins(gap: float, sds: Sequence[float], sizes: Sequence[int]) -> float:
    """P(gap + a t_1 > b t_2) as the mean over t_1's quantiles of the other's distribution."""
    from scipy.special import stdtr, stdtrit

    a, b = (max(sd * math.sqrt(1 + 1 / n), NO_SPREAD) for sd, n in zip(sds, sizes, strict=True))
    grid = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    drawn = gap + a * stdtrit(sizes[0] - 1, grid)
    return float(np.mean(stdtr(sizes[1] - 1, drawn / b)))


def _seeds(gap: float, sds: Sequence[float], confidence: float) -> int | None:
    """The least n with which both would settle a gap of this size; by bisection."""
    if abs(gap) <= NO_SPREAD:
        return None
    low, high = 1, 2
    while _welch(sds, (high, high), confidence)[1] >= abs(gap):
        low, high = high, 2 * high
        if high > _MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if _welch(sds, (middle, middle), confidence)[1] >= abs(gap):
            low = middle
        else:
            high = middle
    return high
