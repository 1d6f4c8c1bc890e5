"""Rank correlations with bootstrap intervals, corrected for who was left to be ranked."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
DRAWS = 400
"""Bootstrap resamples."""
MOST = 2000
"""Memory grows with the square of the runs, and so many leave little doubt."""
MANY = 30
"""Runs from which on the bootstrap alone tells how wide an interval is."""
_DECIMALS = 12


@dataclass(frozen=True)
class RankEstimate:
    """A value with its interval: a bootstrap's percentiles, wider of few runs."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Correlation:
    """How early values rank the final ones; no estimate where that is undefined.

    Attributes:
        known: runs that have the early value; only so many take part as `trials` and `stopped` say.
        trials: runs that have both values.
        stopped: runs that have the early one alone.
        spearman: rank correlation of those that have both; None where it is undefined.
        kendall: Kendall's tau-b of the same, likewise.
        corrected: what Spearman's would be if nobody had been stopped; `spearman` if nobody was.
            None where the survivors do not differ in what they were selected by.
        undefined: why there is no correlation; empty where there is one.
    """

    known: int
    trials: int
    stopped: int
    spearman: RankEstimate | None
    kendall: RankEstimate | None
    corrected: RankEstimate | None
    undefined: str = ""

    @property
    def used(self) -> int:
        """Runs that take part."""
        return self.trials + self.stopped

    @property
    def best_estimate(self) -> RankEstimate | None:
        """The corrected one, or Spearman's where there is no correction."""
        return self.corrected or self.spearman


def correlate(
    early: Values,
    end: Values,
    selector: Values,
    groups: NDArray[np.int64],
    confidence: float = 0.9,
    seed: int = 0,
    draws: int = DRAWS,
    most: int = MOST,
) -> Correlation:
    """How `early` ranks `end`, more being better in both.

    A rank correlation is undefined where one of the two is constant. Resamples of the bootstrap in
    which it is are left out; where that is most of them, the interval is all that it can be.

    Args:
        early: values at a rung, `[n]`.
        end: final values, `[n]`; NaN where a run was stopped.
        selector: what runs were stopped by at that rung, `[n]`.
        groups: a number a config, `[n]`: the bootstrap draws whole configs, since seeds of one
            are not independent.
        seed: of the bootstrap.
        most: runs that take part; of more, that many do, evenly spread.
    """
    known = len(early)
    if known > most:
        some = np.linspace(0, known - 1, most).astype(int)
        early, end, selector, groups = early[some], end[some], selector[some], groups[some]
    # Means of equal scores over seeds may differ by rounding, and ranks would see it.
    early, end, selector = (np.round(values, _DECIMALS) for values in (early, end, selector))
    finished = np.isfinite(end)
    found = _measure(early, end, selector, np.ones((1, len(early))))[0].tolist()
    rng = np.random.default_rng(seed)
    _, index = np.unique(groups, return_inverse=True)
    count = int(index.max()) + 1
    # A resample as how often each run is in it: all of them are then a few matrix products.
    weights = rng.multinomial(count, np.full(count, 1 / count), size=draws)[:, index].astype(float)
    sample = _measure(early, end, selector, weights)

    def estimate(column: int) -> RankEstimate | None:
        if not math.isfinite(found[column]):
            return None
        known = sample[np.isfinite(sample[:, column]), column]
        tail = (1 - confidence) / 2
        most = 2 * len(known) > draws
        low, high = np.quantile(known, [tail, 1 - tail]) if most else (-1.0, 1.0)
        low, high = _wide_enough(found[column], int(finished.sum()), confidence, (low, high))
        # Of few distinct values the resamples that are left may all be on one side.
        value = found[column]
        return RankEstimate(value, min(float(low), value), max(float(high), value))

    return Correlation(
        known=known,
        trials=int(finished.sum()),
        stopped=int((~finished).sum()),
        spearman=estimate(0),
        kendall=estimate(1),
        corrected=estimate(2),
        undefined=_undefined(early[finished], end[finished]),
    )


def _wide_enough(
    value: float, n: int, confidence: float, bootstrap: tuple[float, float]
) -> tuple[float, float]:
    """A bootstrap's interval, as wide as few ranks leave it.

    Where ranks agree all resamples do, and the bootstrap's interval is a point. So of fewer than
    `MANY` runs it is joined with Fisher's: tanh(atanh(r) +- z sqrt((1 + r^2 / 2) / (n - 3)))
    (Bonett & Wright, Psychometrika 65, 2000), with r at least one exchange of neighbours,
    12 / (n (n^2 - 1)), away from 1.
    """
    from scipy.special import ndtri

    if n >= MANY:
        return bootstrap
    if n <= 3:
        return -1.0, 1.0
    most = 1.0 - 12.0 / (n * (n * n - 1.0))
    r = min(max(value, -most), most)
    arm = float(ndtri((1 + confidence) / 2)) * math.sqrt((1 + r * r / 2) / (n - 3))
    low, high = math.tanh(math.atanh(r) - arm), math.tanh(math.atanh(r) + arm)
    return min(low, bootstrap[0]), max(high, bootstrap[1])


def _undefined(early: Values, end: Values) -> str:
    """Why a correlation of these is undefined, else nothing."""
    if len(early) < 2:
        return f"{len(early)} trial{'' if len(early) == 1 else 's'} ran to the end"
    for values, where in ((end, "at the end"), (early, "at the rung")):
        if len(np.unique(values)) < 2:
            return f"all {len(values)} trials have the same value {where}"
    return ""


def unrestricted(r_xy: float, r_xz: float, r_zy: float, ratio: float) -> float:
    """The correlation of x and y in a population of which only some, selected by z, were seen.

    Thorndike's case 3 ("Personnel Selection", 1949, chapter 6), which for z = x is his case 2,
    r u / sqrt(1 + r^2 (u^2 - 1)). It assumes linear regressions with even spread.

    Args:
        r_xy: correlation of x and y among the selected; `r_xz`, `r_zy` likewise.
        ratio: standard deviation of z among all divided by that among the selected.

    >>> round(unrestricted(0.3, 1.0, 0.3, 2.0), 3)
    0.532
    """
    more = ratio**2 - 1
    below = (1 + r_xz**2 * more) * (1 + r_zy**2 * more)
    return (r_xy + r_xz * r_zy * more) / math.sqrt(below) if below > 0 else math.nan


def _measure(early: Values, end: Values, selector: Values, weights: Values) -> Values:
    """Spearman's and Kendall's correlation, and Spearman's corrected, `[draws, 3]`.

    NaN where there is no correction, and where a constant ranks nothing.

    Args:
        weights: how often each run counts, `[draws, n]`.
    """
    done = np.isfinite(end)
    x, y, w = early[done], end[done], weights[:, done]
    spearman = _pearson(_ranks(x, w), _ranks(y, w), w)
    kendall = _kendall(x, y, w)
    if done.all():
        return np.stack([spearman, kendall, spearman], axis=1)
    # On normal scores the ranks of all who reached the rung have the shape that the formula wants.
    all_z = _normal_scores(selector, weights)
    x, z = _normal_scores(early, weights)[:, done], all_z[:, done]
    y = _normal_scores(y, w)
    spread, whole = _deviation(z, w), _deviation(all_z, weights)
    corrected = [
        unrestricted(xy, xz, zy, max(all_sd / sd, 1.0)) if sd > 1e-9 else math.nan
        for xy, xz, zy, sd, all_sd in zip(
            _pearson(x, y, w), _pearson(x, z, w), _pearson(z, y, w), spread, whole, strict=True
        )
    ]
    return np.stack([spearman, kendall, np.array(corrected)], axis=1)


def _ranks(values: Values, weights: Values) -> Values:
    """Mid-ranks from 1 of each value in every weighted sample, `[draws, n]`."""
    below = (values[None, :] < values[:, None]) + 0.5 * (values[None, :] == values[:, None])
    ranks: Values = weights @ below.T + 0.5
    return ranks


def _normal_scores(values: Values, weights: Values) -> Values:
    from scipy.special import ndtri

    ranks, total = _ranks(values, weights), weights.sum(axis=1, keepdims=True)
    scores: Values = ndtri((ranks - 0.5) / np.maximum(total, 1.0))
    # What a sample does not hold may rank beyond its ends; it has no weight there.
    return np.where(np.isfinite(scores), scores, 0.0)


def _kendall(x: Values, y: Values, weights: Values) -> Values:
    """Tau-b: concordant minus discordant pairs, by those tied in neither (Kendall 1945)."""
    signs = [np.sign(values[:, None] - values[None, :]) for values in (x, y)]
    both, one, other = (
        np.einsum("dn,dn->d", weights @ (a * b), weights)
        for a, b in ((signs[0], signs[1]), (signs[0], signs[0]), (signs[1], signs[1]))
    )
    return _ratio(both, np.sqrt(one * other))


def _pearson(x: Values, y: Values, weights: Values) -> Values:
    """Pearson's correlation in every weighted sample, `[draws]`; NaN where either is constant."""
    x, y = _centred(x, weights), _centred(y, weights)
    squares = [(weights * a * b).sum(axis=1) for a, b in ((x, y), (x, x), (y, y))]
    return _ratio(squares[0], np.sqrt(squares[1] * squares[2]))


def _deviation(values: Values, weights: Values) -> Values:
    squares = (weights * _centred(values, weights) ** 2).sum(axis=1)
    deviation: Values = np.sqrt(_divided(squares, weights.sum(axis=1)))
    return deviation


def _centred(values: Values, weights: Values) -> Values:
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1.0)
    centred: Values = values - (weights * values).sum(axis=1, keepdims=True) / total
    return centred


def _ratio(above: Values, below: Values) -> Values:
    ratio: Values = np.where(below > 1e-12, _divided(above, below), math.nan)
    return ratio


def _divided(above: Values, below: Values) -> Values:
    divided: Values = np.where(below > 1e-12, above / np.where(below > 1e-12, below, 1.0), 0.0)
    return divided
