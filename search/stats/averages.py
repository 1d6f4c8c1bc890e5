"""What a few seeds say of a config's mean, of its failures and of the luck in its first score."""

from __future__ import annotations

import math
from collections.abc import Sequence

from search.stats.intervals import Bounds, Interval
from search.stats.spreads import NO_SPREAD, Spread, floored
from search.stats.student import t_quantile


def interquartile_mean(scores: Sequence[float]) -> float:
    """Mean of the middle half of the scores (Agarwal et al., NeurIPS 2021, arXiv 2108.13264).

    A score counts with as much of its 1 / n as lies in [1/4, 3/4] of the sorted ones. With a
    multiple of four seeds that is the mean without the best and the worst quarter; in between, as
    with three seeds, no score is cut off whole where only a part of it is too much.

    >>> interquartile_mean([0.0, 0.8, 0.9, 1.0])
    0.85...
    """
    n = len(scores)
    weights = [
        max(min((index + 1) / n, 0.75) - max(index / n, 0.25), 0.0) / 0.5 for index in range(n)
    ]
    return math.fsum(w * score for w, score in zip(weights, sorted(scores), strict=True))


def mean_interval(
    scores: Sequence[float],
    confidence: float = 0.9,
    bounds: Bounds = (0.0, 1.0),
    spread: Spread | None = None,
    examples: int | None = None,
) -> Interval:
    """Where the mean over all seeds lies with that confidence.

    mean ± t((1 + confidence) / 2, df) * s / sqrt(n), cut at `bounds` (Hahn & Meeker, "Statistical
    Intervals", 4.2). It says how well the mean is known and nothing of how far one seed falls
    from it.

    Args:
        scores: of n >= 1 seeds.
        spread: used instead of the scores' own, as `cautious_spreads` gives it.
        examples: how many examples a score is a share of: s is then at least `resolution_sd`.

    Where nothing is known of the spread the interval is the bounds.
    """
    n = len(scores)
    mean = math.fsum(scores) / n
    if spread is None:
        squares = math.fsum((score - mean) ** 2 for score in scores)
        spread = Spread(math.sqrt(squares / (n - 1)), n - 1) if n > 1 else Spread(0.0, 0)
    sd = floored(spread.sd, mean, examples)
    if spread.df == 0 or sd <= NO_SPREAD:
        return Interval(*bounds)
    margin = t_quantile((1 + confidence) / 2, spread.df) * sd / math.sqrt(n)
    return Interval(max(bounds[0], mean - margin), min(bounds[1], mean + margin))


def failure_rate(failures: int, seeds: int, confidence: float = 0.9) -> Interval:
    """Where the probability that a seed fails lies.

    Clopper & Pearson's (Biometrika 26, 1934), from quantiles of the beta distribution. With few
    seeds it is wide, and it covers at least as often as it says for every rate; Wilson's is
    narrower and covers as often on average, but for rates near 0, which are the ones that a config
    is chosen for, at times far less often.

    >>> failure_rate(0, 3).high
    0.6315...
    """
    # `scipy.stats.beta.ppf` calls it too, and takes three times as long to import.
    from scipy.special import betaincinv

    assert 0 <= failures <= seeds, (failures, seeds)
    tail = (1 - confidence) / 2
    low = float(betaincinv(failures, seeds - failures + 1, tail)) if failures else 0.0
    high = 1.0
    if failures < seeds:
        high = float(betaincinv(failures + 1, seeds - failures, 1 - tail))
    return Interval(low, high)


def mean_of(values: Sequence[float], confidence: float = 0.9) -> tuple[float, Interval | None]:
    """The mean of independent values and its t interval; None for one value or equal ones."""
    wide = (-math.inf, math.inf)
    interval = mean_interval(values, confidence, wide)
    known = math.isfinite(interval.low)
    return math.fsum(values) / len(values), interval if known else None
