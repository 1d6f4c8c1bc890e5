"""Workers on a virtual clock: a report arrives when its worker has spent the recorded time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal, Protocol

from search.ledger.trial import Row

ClockName = Literal["seconds", "compute"]
START: Row = {"compute": 0.0, "seconds": 0.0}


@dataclass(frozen=True)
class Stretch:
    """A worker's task: a recorded run from where it stands.

    Attributes:
        key: what the source knows it by.
        rows: the reports that are to come.
        at: the report at which it goes on, or `START`.
        completes: whether the run ends well with the last of them.
    """

    key: str
    rows: Sequence[Row]
    at: Row
    completes: bool


class StretchSource(Protocol):
    """Hands out recorded runs and decides on their reports."""

    def next(self) -> Stretch | None:
        """A run to start or to go on with; None if there is none right now."""

    def on_report(self, key: str, row: Row, *, last: bool) -> bool:
        """Whether a run goes on after a report; `last` is that of a run that ends well."""

    def on_failure(self, key: str) -> None:
        """A run ended without a further report."""


@dataclass
class VirtualClock:
    """What has been spent.

    Attributes:
        workers: runs at once.
        mode: a report takes its recorded seconds, or its compute at one rate for all.
        now: virtual time: seconds, or FLOPs one after another on one worker.
        compute: FLOPs spent, all workers together.
        arrived: FLOPs of them whose reports have come; a sweep that ends waits for the others.
        begun: what had been spent with the report that the source is told of: a limit of less
            would have kept that report from coming.
    """

    workers: int
    mode: ClockName = "seconds"
    now: float = 0.0
    compute: float = 0.0
    arrived: float = 0.0
    begun: float = 0.0

    def run(self, source: StretchSource, limit: float = math.inf) -> None:
        """Until the source has nothing more, or the next stretch would exceed the limit.

        Args:
            limit: compute in all. What goes beyond it is not begun; what is under way arrives.
        """
        events: list[tuple[float, int, Stretch, int, float, float]] = []
        order = count()
        idle, over = self.workers, False

        def begin(stretch: Stretch, index: int) -> bool:
            """Whether the way to the report of that index is begun."""
            nonlocal over
            if index == len(stretch.rows):
                heapq.heappush(events, (self.now, next(order), stretch, index, 0.0, self.compute))
                return True
            before = stretch.rows[index - 1] if index else stretch.at
            cost = max(stretch.rows[index]["compute"] - before["compute"], 0.0)
            if over or self.compute + cost > limit * (1 + 1e-9):
                over = True
                return False
            self.compute += cost
            seconds = max(stretch.rows[index]["seconds"] - before["seconds"], 0.0)
            takes = seconds if self.mode == "seconds" else cost
            at = self.now + takes
            heapq.heappush(events, (at, next(order), stretch, index, cost, self.compute))
            return True

        while True:
            while idle and not over and (stretch := source.next()) is not None:
                idle -= begin(stretch, 0)
            if not events:
                self.arrived = self.compute
                return
            self.now, _, stretch, index, cost, self.begun = heapq.heappop(events)
            self.arrived += cost
            if index == len(stretch.rows):
                source.on_failure(stretch.key)
                idle += 1
                continue
            last = stretch.completes and index + 1 == len(stretch.rows)
            goes_on = source.on_report(stretch.key, stretch.rows[index], last=last)
            if not goes_on or not begin(stretch, index + 1):
                idle += 1
