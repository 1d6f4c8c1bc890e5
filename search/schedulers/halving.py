"""Asynchronous successive halving, promoting form: a trial waits at each rung.

Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, arXiv 1810.05934,
algorithm 2: a free worker goes on with the best trial that is among the top 1/eta of its rung and
waits there, the highest rung first; else it takes a new trial. Nothing goes on only because it came
early, at the price of a checkpoint for each trial that waits.

Where the paper has trials without end, a sweep has a last one. From then on nothing can change
what waits, so each rung passes on at least its best trial, and the rest is given up.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Literal

from search.schedulers.rungs import GeometricConfig, Rungs
from search.schedulers.scheduler import Decision, Mode, RungState, sound


class Halving:
    """The rungs, and who waits at which.

    Attributes:
        rungs: their scores; at the last one, the end, nothing waits.
        eta: one in eta trials goes on beyond a rung.
        stopped: trials that were told to stop or given up.
    """

    def __init__(self, shares: Sequence[float], eta: float = 3.0, mode: Mode = "max") -> None:
        self.rungs = Rungs(shares, mode)
        self.eta = eta
        self.stopped: set[int] = set()
        self._waiting: list[list[tuple[float, int]]] = [[] for _ in shares]
        self._waits: set[int] = set()

    @property
    def shares(self) -> tuple[float, ...]:
        return self.rungs.shares

    def on_report(self, trial: int, share: float, score: float | None) -> Decision:
        if trial in self.stopped:
            return "stop"
        if score is None or not math.isfinite(score):
            self.on_end(trial, failed=True)
            self.stopped.add(trial)
            return "stop"
        if trial in self._waits:
            return "pause"
        rung = self.rungs.enter(trial, share, score)
        if rung is None or rung == len(self.shares) - 1:
            return "continue"
        self._wait(trial)
        if self._best() != trial:
            return "pause"
        # Its worker would be free and be given it back at once.
        self._leave(trial)
        return "continue"

    def on_end(self, trial: int, *, failed: bool) -> None:
        self._leave(trial)
        if failed:
            self.rungs.remove(trial)

    def promote(self, *, last: bool = False) -> int | None:
        trial = self._best()
        if trial is None and last:
            trial = self._best_where_none_passed()
        if trial is not None:
            self._leave(trial)
        return trial

    def close(self) -> list[int]:
        given_up = sorted(self._waits)
        for trial in given_up:
            self._leave(trial)
        self.stopped.update(given_up)
        return given_up

    def replay(
        self, trial: int, rows: Sequence[tuple[float, float | None]], standing: RungState
    ) -> None:
        if standing == "stopped":
            self.stopped.add(trial)
        for share, score in sound(rows) if standing != "failed" else ():
            self.rungs.enter(trial, share, score)
        if standing == "paused" and self.rungs.reached(trial) is not None:
            self._wait(trial)

    def _wait(self, trial: int) -> None:
        rung = self.rungs.reached(trial)
        assert rung is not None, trial
        insort(self._waiting[rung], self.rungs.key(trial, rung))
        self._waits.add(trial)

    def _leave(self, trial: int) -> None:
        if trial in self._waits:
            rung = self.rungs.reached(trial)
            assert rung is not None, trial
            waiting = self._waiting[rung]
            del waiting[bisect_left(waiting, self.rungs.key(trial, rung))]
            self._waits.remove(trial)

    def _best(self) -> int | None:
        """The best trial that waits at the highest rung where one is among the top 1/eta."""
        for rung in range(len(self.shares) - 2, -1, -1):
            if self._waiting[rung]:
                _, trial = self._waiting[rung][0]
                places = math.floor(len(self.rungs.values[rung]) / self.eta)
                if self.rungs.rank(trial, rung) < places:
                    return trial
        return None

    def _best_where_none_passed(self) -> int | None:
        """The best trial of the highest rung beyond which no other is or was, bar failed ones."""
        for rung in range(len(self.shares) - 2, -1, -1):
            if any(self.rungs.values[rung + 1 :]):
                return None
            if self._waiting[rung]:
                if any(
                    trial not in self._waits and trial not in self.stopped
                    for trial in self.rungs.values[rung]
                ):
                    return None
                return self._waiting[rung][0][1]
        return None


class HalvingConfig(GeometricConfig):
    """Successive halving by promotion: a trial waits at a rung until it is among its best 1/eta.

    Each trial is resumed from its checkpoint once a rung; the checkpoints of trials that wait take
    space. Trials that wait in vain end as `pruned` once no new ones come.
    """

    name: Literal["halving"] = "halving"

    def build(self, slow_start: bool, mode: Mode = "max") -> Halving:
        return Halving(self.geometric(slow_start), self.eta, self.ranking_mode(mode))
