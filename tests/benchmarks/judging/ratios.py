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
from scipy.optimize import isotonic_regression

DRAWS = 2000


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
    def of(cls, curves: Curves, worlds: np.ndarray | None = None) -> MeanCurve:
        """The mean over worlds, which may be a bootstrap's draw of them."""
        regrets = curves.regrets if worlds is None else curves.regrets[worlds]
        falling = isotonic_regression(regrets.mean(axis=0), increasing=False).x
        return cls(curves.budgets, falling)

    def at(self, budget: float) -> float:
        """The regret after so many runs."""
        return float(np.interp(math.log(budget), np.log(self.budgets), self.regrets))

    def reaches(self, regret: float) -> float:
        """The least compute with at most that regret; inf if there is none."""
        below = np.flatnonzero(self.regrets <= regret)
        if not len(below):
            return math.inf
        last = int(below[0])
        if last == 0:
            return float(self.budgets[0])
        high, low = self.regrets[last - 1], self.regrets[last]
        share = (high - regret) / (high - low)
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
    groups = [np.flatnonzero(np.array(strata) == name) for name in dict.fromkeys(strata)]
    found = []
    for _ in range(draws):
        worlds = np.concatenate([rng.choice(group, len(group)) for group in groups])
        found.append(compute_ratio(MeanCurve.of(mine, worlds), MeanCurve.of(other, worlds), budget))
    low, high = np.quantile(found, [0.025, 0.975])
    return Ratio(
        compute_ratio(MeanCurve.of(mine), MeanCurve.of(other), budget), float(low), float(high)
    )
