"""What every schedule has in common: frozen, typed, described by plain values.

A schedule is a pure function. A fixed one maps progress to a value; an adaptive one also reads a
*state*, plain JSON values that `begin` makes and `observe` turns into the next. Nothing else is
kept anywhere, so storing the state is storing the schedule's whole past.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

from curricula.component import Component
from curricula.feedback import Feedback

ScheduleState = Mapping[str, Any]
"""What an adaptive schedule remembers, as JSON values; empty for a fixed one."""

ROUNDING = 1e-9
"""Progress is a quotient of sums of FLOPs: it may miss a breakpoint by this much."""


class Schedule(Component):
    """A value that changes over a run. Subclasses have a `name` and an `at` for what they drive.

    >>> from curricula.pacing import Linear
    >>> Linear().adaptive, Linear().begin()
    (False, {})
    """

    adaptive: ClassVar[bool] = False
    """Whether the schedule depends on feedback."""

    def begin(self) -> ScheduleState:
        """The state at the start of a run."""
        return {}

    def observe(
        self, state: ScheduleState, feedback: Feedback, progress: float, full: Any = None
    ) -> ScheduleState:
        """The state after the window that ends at `progress`; `full` is what `at` takes as such."""
        return state


def in_force(starts: Sequence[float], progress: float) -> int:
    """The index of the last of the rising `starts` that is reached; 0 before the first.

    >>> [in_force([0.0, 0.3, 0.6], p) for p in (0.0, 0.299, 0.3, 1.0)]
    [0, 0, 1, 2]
    """
    return max(bisect_right(starts, progress + ROUNDING) - 1, 0)


def starts_of(lengths: Sequence[float]) -> list[float]:
    """Where segments of the given relative lengths start: rising from 0, whatever the lengths.

    >>> starts_of([1.0, 2.0, 1.0])
    [0.0, 0.25, 0.75]
    """
    total = sum(lengths)
    return [sum(lengths[:index]) / total for index in range(len(lengths))]


def require_rising(shares: Sequence[float]) -> None:
    """
    Raises:
        ValueError: the shares of the run do not rise, or leave [0, 1).
    """
    if not all(a < b for a, b in pairwise([*shares, 1.0])) or min(shares, default=0.0) < 0.0:
        raise ValueError(f"{list(shares)} must rise within [0, 1)")


def require_starts(what: str, starts: Sequence[float]) -> None:
    """
    Raises:
        ValueError: the starts do not begin at 0, do not rise, or reach 1.
    """
    if not starts or starts[0] != 0.0:
        raise ValueError(f"the first {what} must start at 0.0")
    require_rising(starts)
