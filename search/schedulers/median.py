"""The median stopping rule.

Golovin et al., "Google Vizier: A Service for Black-Box Optimization", KDD 2017, section 3.2.1: a
trial is stopped at step s if its best value by step s is worse than the median of the running
averages of the other trials' values up to step s. Here the others are all that have come that far,
not only those that completed: these alone would be the survivors of earlier decisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from search.schedulers.scheduler import SLOW_START_SHARE, Mode, RungConfig
from search.schedulers.stopping import Stopping


def even_shares(grace: float, decisions: int) -> tuple[float, ...]:
    """`decisions` shares from `grace` on, evenly spread before the end, and the end.

    >>> even_shares(0.25, 3)
    (0.25, 0.5, 0.75, 1.0)
    """
    return (*(grace + (1.0 - grace) * index / decisions for index in range(decisions)), 1.0)


class Median(Stopping):
    """Every trial's running average at each share where it decides, as the scores of the rungs."""

    def __init__(self, shares: Sequence[float], min_trials: int = 5, mode: Mode = "max") -> None:
        super().__init__(shares, "max")
        self.min_trials = min_trials
        self._sign = 1.0 if mode == "max" else -1.0
        self._seen: dict[int, tuple[int, float, float]] = {}

    def enter(self, trial: int, share: float, score: float) -> int | None:
        value = self._sign * score
        count, total, best = self._seen.get(trial, (0, 0.0, value))
        count, total, best = count + 1, total + value, max(best, value)
        self._seen[trial] = count, total, best
        return super().enter(trial, share, total / count)

    def goes_on(self, trial: int, rung: int) -> bool:
        others = len(self.rungs.values[rung]) - 1
        if others < self.min_trials:
            return True
        return self._seen[trial][2] >= self.rungs.median_of_others(trial, rung)

    def on_end(self, trial: int, *, failed: bool) -> None:
        self._seen.pop(trial, None)
        super().on_end(trial, failed=failed)


class MedianConfig(RungConfig):
    """The median stopping rule: a trial whose best is below the others' running average ends.

    Attributes:
        grace: share of a full run before which nothing ends (at least a quarter when a curriculum
            or a learning-rate decay is searched).
        decisions: how often it decides between there and the end.
        min_trials: other trials that must have come as far before any ends.
    """

    name: Literal["median"] = "median"
    grace: float = Field(default=0.25, gt=0.0, lt=1.0)
    decisions: int = Field(default=6, ge=1, le=100)
    min_trials: int = Field(default=5, ge=1, le=1_000_000)

    def build(self, slow_start: bool, mode: Mode = "max") -> Median:
        grace = max(self.grace, SLOW_START_SHARE if slow_start else 0.0)
        shares = even_shares(grace, self.decisions)
        return Median(shares, self.min_trials, self.ranking_mode(mode))
