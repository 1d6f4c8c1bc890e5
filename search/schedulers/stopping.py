"""What the schedulers have in common whose trials never wait: they go on or end."""

from __future__ import annotations

import math
from collections.abc import Sequence

from search.schedulers.rungs import Rungs
from search.schedulers.scheduler import Decision, Mode, RungState, sound


class Stopping:
    """The state of the rungs; a pure function of the reports it was given, in order.

    Attributes:
        rungs: their scores; the last rung is the end and stops nothing.
        stopped: trials that were told to stop.
    """

    def __init__(self, shares: Sequence[float], mode: Mode) -> None:
        self.rungs = Rungs(shares, mode)
        self.stopped: set[int] = set()

    @property
    def shares(self) -> tuple[float, ...]:
        return self.rungs.shares

    def on_report(self, trial: int, share: float, score: float | None) -> Decision:
        if trial in self.stopped:
            return "stop"
        if score is None or not math.isfinite(score):
            self.on_end(trial, failed=True)
        else:
            rung = self.enter(trial, share, score)
            if rung is None or rung == len(self.shares) - 1 or self.goes_on(trial, rung):
                return "continue"
        self.stopped.add(trial)
        return "stop"

    def on_end(self, trial: int, *, failed: bool) -> None:
        if failed:
            self.rungs.remove(trial)

    def promote(self, *, last: bool = False) -> int | None:
        """Nothing ever waits."""
        return None

    def close(self) -> list[int]:
        """Nothing ever waits."""
        return []

    def replay(
        self, trial: int, rows: Sequence[tuple[float, float | None]], standing: RungState
    ) -> None:
        if standing == "stopped":
            self.stopped.add(trial)
        for share, score in sound(rows) if standing != "failed" else ():
            self.enter(trial, share, score)

    def enter(self, trial: int, share: float, score: float) -> int | None:
        """Take in a score; the rung that it reached first, if any."""
        return self.rungs.enter(trial, share, score)

    def goes_on(self, trial: int, rung: int) -> bool:
        """Whether a trial that has just entered a rung before the end goes on."""
        raise NotImplementedError
