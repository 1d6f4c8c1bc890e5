"""What a few seeds say of a candidate: a cautious score, and what one fresh seed will show.

Scores are shares of right examples, so intervals are cut at [0, 1]; failures stand among the
samples at the floor. Normal theory with small samples: Hahn & Meeker, "Statistical Intervals"
(Wiley 1991), sections 4.2 and 4.7 (2nd ed. by Meeker, Hahn & Escobar, 2017).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from scipy import stats

Key = TypeVar("Key", bound=Hashable)
Bounds = tuple[float, float]

NO_SPREAD = 1e-12
"""A standard deviation that is rounding alone: the mean of equal floats may be off by an ulp."""


@dataclass(frozen=True)
class Spread:
    """A standard deviation between seeds and the degrees of freedom it rests on (0: unknown)."""

    sd: float
    df: int


@dataclass(frozen=True)
class RobustScore:
    """A candidate over its seeds.

    Attributes:
        lower: lower confidence bound of the mean, the robust score.
        mean: mean over the seeds.
        sd: standard deviation over this candidate's seeds alone; 0 for one seed.
        seeds: how many there are.
    """

    lower: float
    mean: float
    sd: float
    seeds: int


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


def resolution_sd(mean: float, examples: int) -> float:
    """The least standard deviation that a share of `examples` examples can be trusted to have.

    sqrt(p (1 - p) / m) with Laplace's p = (m * mean + 1) / (m + 2), which is never 0. It is the
    spread between seeds if each example is right or wrong by its own toss. Three seeds that
    agree exactly (often at 1.0) do not show that the next one will: without this floor their
    interval would have no width.
    """
    assert examples > 0, examples
    share = (examples * mean + 1) / (examples + 2)
    return math.sqrt(share * (1 - share) / examples)


def pooled_spread(samples: Mapping[Key, Sequence[float]]) -> Spread:
    """The spread between seeds within candidates, s^2 = sum (n_i - 1) s_i^2 / sum (n_i - 1).

    Assumes that candidates differ in mean and not in spread, which is what few seeds can afford.
    """
    df = sum(len(scores) - 1 for scores in samples.values())
    if df == 0:
        return Spread(0.0, 0)
    squares = sum(_squares(scores) for scores in samples.values())
    return Spread(math.sqrt(squares / df), df)


def robust_scores(
    samples: Mapping[Key, Sequence[float]],
    confidence: float = 0.9,
    bounds: Bounds = (0.0, 1.0),
    examples: int | None = None,
) -> dict[Key, RobustScore]:
    """One-sided lower confidence bound of each candidate's mean, variance pooled.

    mean_i - t(confidence, df) * s / sqrt(n_i), with s and df from `pooled_spread` (Hahn & Meeker
    4.2), not below `bounds`. `examples` is how many examples a score is a share of: s is then at
    least `resolution_sd`. Where nothing is known of the spread (no candidate has two seeds, or all
    seeds agree exactly and there is no `examples`) every bound is the lowest one; so rank
    candidates by (lower, mean).

    >>> robust_scores({"a": [0.9, 0.8, 0.7], "b": [0.5]})["a"].lower
    0.6911...
    """
    spread = pooled_spread(samples)
    found = {}
    for key, scores in samples.items():
        mean = _mean(scores)
        lower = bounds[0]
        sd = _floored(spread.sd, mean, examples)
        if spread.df > 0 and sd > NO_SPREAD:
            margin = float(stats.t.ppf(confidence, spread.df)) * sd / math.sqrt(len(scores))
            lower = max(bounds[0], mean - margin)
        own = math.sqrt(_squares(scores) / (len(scores) - 1)) if len(scores) > 1 else 0.0
        found[key] = RobustScore(lower, mean, own, len(scores))
    return found


def unresolved(
    samples: Mapping[Key, Sequence[float]],
    confidence: float = 0.9,
    examples: int | None = None,
) -> list[Key]:
    """The candidates that more seeds could still make the best, the leader (by mean) first.

    A candidate is resolved once it is below the leader by a one-sided t test of the difference of
    means with pooled variance, at 1 - confidence shared among the comparisons (Bonferroni).
    Without two seeds of any candidate nothing is resolved.
    """
    ranked = sorted(samples, key=lambda key: -_mean(samples[key]))
    leader, *others = ranked
    spread = pooled_spread(samples)
    if spread.df == 0 or not others:
        return ranked
    quantile = float(stats.t.ppf(1 - (1 - confidence) / len(others), spread.df))
    sd = _floored(spread.sd, _mean(samples[leader]), examples)
    open_ones = [leader]
    for key in others:
        error = sd * math.sqrt(1 / len(samples[leader]) + 1 / len(samples[key]))
        if _mean(samples[leader]) - _mean(samples[key]) <= quantile * error:
            open_ones.append(key)
    return open_ones


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
    n, mean = len(samples), _mean(samples)
    if spread is None:
        spread = Spread(math.sqrt(_squares(samples) / (n - 1)), n - 1) if n > 1 else Spread(0.0, 0)
    sd = _floored(spread.sd, mean, examples)
    if spread.df == 0 or sd <= NO_SPREAD:
        return Interval(*bounds)
    quantile = float(stats.t.ppf((1 + confidence) / 2, spread.df))
    margin = quantile * sd * math.sqrt(1 + 1 / n)
    return Interval(max(bounds[0], mean - margin), min(bounds[1], mean + margin))


def _mean(scores: Sequence[float]) -> float:
    assert len(scores) > 0, "a candidate without seeds"
    assert all(math.isfinite(score) for score in scores), scores
    return math.fsum(scores) / len(scores)


def _squares(scores: Sequence[float]) -> float:
    mean = _mean(scores)
    return math.fsum((score - mean) ** 2 for score in scores)


def _floored(sd: float, mean: float, examples: int | None) -> float:
    return sd if examples is None else max(sd, resolution_sd(mean, examples))
