"""Learned stopping: a trial waits once it is unlikely to end above the best, and may go on later.

What a trial will come to is foreseen from its curve by the trials that have run to their end
(`search.stats.foresight`). In a sweep a guide, which knows the parameters too, answers instead, and
compares what a waiting trial promises with what a new one does (Swersky, Snoek and Adams,
"Freeze-Thaw Bayesian Optimization", arXiv 1406.3896, is the idea: pause and resume by belief).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import ClassVar, Literal, Protocol

import numpy as np
from pydantic import Field

from search.schedulers.median import even_shares
from search.schedulers.rungs import highest
from search.schedulers.scheduler import (
    Decision,
    Mode,
    RungConfig,
    RungState,
    sound,
)
from search.stats.foresight import FEWEST, foresight

_DEVIATIONS = 6.0
"""Of a normal, beyond which nothing is left."""


class Guide(Protocol):
    """What knows more of the trials than their curves."""

    def goes_on(self, trial: int, least: float) -> bool:
        """Whether a trial goes on: it may well end above the best of the others, at least with a
        chance of `least`, or looks better than most did where it stands.
        """

    def promoted(self, waiting: Collection[int], *, last: bool) -> int | None:
        """The waiting trial to go on with now; None for something else.

        Args:
            last: nothing else is left to do.
        """


class Learned:
    """Who waits, and what every trial's curve was.

    Attributes:
        least: the chance below which a trial waits.
        stopped: trials that were told to stop or given up.
        guide: answers in place of the curves alone, where there is one.
    """

    def __init__(self, shares: Sequence[float], least: float = 0.1, mode: Mode = "max") -> None:
        self.least = least
        self.stopped: set[int] = set()
        self.guide: Guide | None = None
        self._shares = tuple(shares)
        self._sign = 1.0 if mode == "max" else -1.0
        self._curves: dict[int, dict[int, float]] = {}
        self._waits: dict[int, None] = {}

    @property
    def shares(self) -> tuple[float, ...]:
        return self._shares

    def on_report(self, trial: int, share: float, score: float | None) -> Decision:
        if trial in self.stopped:
            return "stop"
        if score is None or not math.isfinite(score):
            self.on_end(trial, failed=True)
            self.stopped.add(trial)
            return "stop"
        if trial in self._waits:
            return "pause"
        rung = self._enter(trial, share, score)
        if rung is None or rung == len(self._shares) - 1 or self._may_win(trial):
            return "continue"
        self._waits[trial] = None
        return "pause"

    def on_end(self, trial: int, *, failed: bool) -> None:
        self._waits.pop(trial, None)
        if failed:
            self._curves.pop(trial, None)

    def promote(self, *, last: bool = False) -> int | None:
        if not self._waits:
            return None
        if self.guide is not None:
            chosen = self.guide.promoted(self._waits, last=last)
        else:
            chosen = max(self._waits, key=lambda trial: (self._chance(trial) or 0.0, -trial))
            if not self._may_win(chosen) and not (last and not self._completed):
                chosen = None
        if chosen is not None:
            del self._waits[chosen]
        return chosen

    def close(self) -> list[int]:
        ended = sorted(self._waits)
        self.stopped.update(ended)
        self._waits.clear()
        return ended

    def replay(
        self, trial: int, rows: Sequence[tuple[float, float | None]], standing: RungState
    ) -> None:
        if standing == "stopped":
            self.stopped.add(trial)
        for share, score in sound(rows) if standing != "failed" else ():
            self._enter(trial, share, score)
        if standing == "paused" and trial in self._curves:
            self._waits[trial] = None

    def _enter(self, trial: int, share: float, score: float) -> int | None:
        """The rung that a report reaches first, if any."""
        rung = highest(self._shares, share)
        curve = self._curves.setdefault(trial, {})
        if rung <= max(curve, default=-1):
            return None
        curve[rung] = self._sign * score
        return rung

    @property
    def _completed(self) -> dict[int, float]:
        end = len(self._shares) - 1
        return {trial: curve[end] for trial, curve in self._curves.items() if end in curve}

    def _may_win(self, trial: int) -> bool:
        if self.guide is not None:
            return self.guide.goes_on(trial, self.least)
        known = self._chance(trial)
        return known is None or known >= self.least

    def _chance(self, trial: int) -> float | None:
        """That a trial ends above the best that has ended, by its curve alone."""
        ends, curve = self._completed, self._curves[trial]
        rung = max(curve)
        others = [other for other in sorted(ends) if rung in self._curves[other]]
        if len(others) < FEWEST:
            return None
        features = np.array([self._features(other, rung) for other in others])
        made = foresight(features, np.array([ends[other] for other in others]))
        doubt = 0.1 * float(np.var([ends[other] for other in others]))
        mean, own, shared = made.at(np.array(self._features(trial, rung)), doubt)
        variance = own + shared**2
        lead = mean - max(ends.values())
        if variance <= 0.0:
            return float(lead >= 0.0)
        z = min(max(lead / math.sqrt(variance), -_DEVIATIONS), _DEVIATIONS)
        return math.erfc(-z / math.sqrt(2.0)) / 2.0

    def _features(self, trial: int, rung: int) -> tuple[float, float]:
        curve = self._curves[trial]
        before = max((earlier for earlier in curve if earlier < rung), default=rung)
        return curve[rung], curve[rung] - curve[before]


class LearnedConfig(RungConfig):
    """Learned stopping: a trial waits while the chance that it ends above the best is small.

    Attributes:
        grace: share of a full run before which nothing waits.
        decisions: how often it decides between there and the end.
        least: the chance below which a trial waits; 0 lets all run to their end.
        reseed: whether the most promising configs get further seeds in the search, once these are
            worth more than new configs.
    """

    weighs_early: ClassVar[bool] = True
    name: Literal["learned"] = "learned"
    grace: float = Field(default=1 / 12, gt=0.0, lt=1.0)
    decisions: int = Field(default=11, ge=1, le=100)
    least: float = Field(default=0.1, ge=0.0, lt=1.0)
    reseed: bool = True

    def build(self, slow_start: bool, mode: Mode = "max") -> Learned:
        shares = even_shares(self.grace, self.decisions)
        return Learned(shares, self.least, self.ranking_mode(mode))
