"""Asynchronous successive halving, stopping form.

ASHA (Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, arXiv
1810.05934; stopping instead of promoting as in syne-tune): a trial that reaches a rung goes on if
its score is among the top 1/eta of the scores seen at that rung so far, its own included. It never
waits, so the first eta - 1 trials of a rung always go on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from search.schedulers.rungs import GeometricConfig
from search.schedulers.scheduler import Mode
from search.schedulers.stopping import Stopping


class Asha(Stopping):
    """One in `eta` trials goes on beyond a rung."""

    def __init__(self, shares: Sequence[float], eta: float = 3.0, mode: Mode = "max") -> None:
        super().__init__(shares, mode)
        self.eta = eta

    def goes_on(self, trial: int, rung: int) -> bool:
        """Ties with the last of the top go on: nothing tells them apart."""
        count = len(self.rungs.values[rung])
        return count < self.eta or self.rungs.is_top(trial, rung, math.floor(count / self.eta))


class AshaConfig(GeometricConfig):
    """Asynchronous successive halving: at each rung the best 1/eta of the trials so far goes on."""

    name: Literal["asha"] = "asha"

    def build(self, slow_start: bool, mode: Mode = "max") -> Asha:
        return Asha(self.geometric(slow_start), self.eta, self.ranking_mode(mode))
