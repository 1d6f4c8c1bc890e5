"""How much less compute one method needs than another for the same mean regret.

The mean regret over worlds is made monotone (isotonic regression: Barlow et al., "Statistical
Inference under Order Restrictions", 1972) and is linear in the logarithm of compute between the
budgets at which it is known. Intervals are percentile bootstraps over worlds (Efron and Tibshirani,
"An Introduction to the Bootstrap", 1993, chapter 13), the same worlds for both methods.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
ROUNDING = 1e-12
"""Regrets that differ by no more are equal."""


@dataclass(frozen=True)
class Curves:
    """A method's regret in every world.

    Attributes:
        budgets: [budgets], in full runs, ascending.
        regrets: [worlds, budgets].
    """

    budgets: np.ndarray
    regrets: np.ndarray


@dataclass(frozen=True)
class MeanCurve:
    """Mean regret against compute, falling.

    >>> curve = MeanCurve(np.array([1.0, 4.0, 16.0]), np.array([0.4, 0.2, 0.1]))
    >>> round(curve.at(2.0), 3), round(curve.reaches(0.3), 3), curve.reaches(0.05)
    (0.3, 2.0, inf)
    """

    budgets: np.ndarray
    regrets: np.ndarray

    @classmethod
    def of(cls, curves: Curves) -> MeanCurve:
        """The mean over all worlds."""
        return cls(curves.budgets, falling(curves.regrets.mean(axis=0)))

    def at(self, budget: float) -> float:
        """The regret after so many runs."""
        return float(np.interp(math.log(budget), np.log(self.budgets), self.regrets))

    def reaches(self, regret: float) -> float:
        """The least compute with at most that regret; inf if there is none."""
        below = np.flatnonzero(self.regrets <= regret + ROUNDING)
        if not len(below):
            return math.inf
        last = int(below[0])
        if last == 0:
            return float(self.budgets[0])
        high, low = self.regrets[last - 1], self.regrets[last]
        share = min((high - regret) / (high - low), 1.0)
        before, after = math.log(self.budgets[last - 1]), math.log(self.budgets[last])
        return math.exp(before + share * (after - before))


@dataclass(frozen=True)
class Ratio:
    """How many times the other's compute; above 1 the first method needs less."""

    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.ratio:.2f} [{self.low:.2f}, {self.high:.2f}]"


def compute_ratio(mine: MeanCurve, other: MeanCurve, budget: float) -> float:
    """The other's compute over mine at equal regret.

    At the other's regret after `budget` runs if I reach it; else at my last regret: so that
    exchanging the two methods turns the ratio round where both end at `budget`.
    """
    needed = mine.reaches(other.at(budget))
    if math.isfinite(needed):
        return budget / needed
    return other.reaches(float(mine.regrets[-1])) / float(mine.budgets[-1])


def ratio(
    mine: Curves, other: Curves, budget: float, strata: Sequence[str], draws: int = DRAWS
) -> Ratio:
    """`compute_ratio` with its 95 % bootstrap interval, drawn within the strata of the worlds."""
    rng = np.random.default_rng(0)
    names = np.array(strata)
    times = np.zeros((draws, len(names)))
    for name in dict.fromkeys(strata):
        alike = np.flatnonzero(names == name)
        times[:, alike] = rng.multinomial(len(alike), np.full(len(alike), 1 / len(alike)), draws)
    mine_drawn, other_drawn = (falling(times @ one.regrets / len(names)) for one in (mine, other))
    found = [
        compute_ratio(MeanCurve(mine.budgets, one), MeanCurve(other.budgets, two), budget)
        for one, two in zip(mine_drawn, other_drawn, strict=True)
    ]
    low, high = np.quantile(found, [0.025, 0.975])
    return Ratio(
        compute_ratio(MeanCurve.of(mine), MeanCurve.of(other), budget), float(low), float(high)
    )


def falling(regrets: np.ndarray) -> np.ndarray:
    """The nearest falling curves to [..., budgets], by the mean of squares.

    Its value at i is the least over a <= i of the greatest over b >= i of the mean from a to b.

    >>> falling(np.array([0.8, 0.4, 0.6, 0.3])).round(6).tolist()
    [0.8, 0.5, 0.5, 0.3]
    """
    count = regrets.shape[-1]
    sums = np.concatenate([np.zeros_like(regrets[..., :1]), np.cumsum(regrets, axis=-1)], axis=-1)
    found = np.full_like(regrets, np.inf)
    for first in range(count):
        lengths = np.arange(1, count - first + 1)
        means = (sums[..., first + 1 :] - sums[..., first, None]) / lengths
        greatest = np.maximum.accumulate(means[..., ::-1], axis=-1)[..., ::-1]
        found[..., first:] = np.minimum(found[..., first:], greatest)
    return found
