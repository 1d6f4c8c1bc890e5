"""The rule of adaptive schedules that climb: level by level, when training has earned it."""

from __future__ import annotations

import math
from statistics import median
from typing import Literal

from pydantic import Field

from curricula.feedback import Feedback
from curricula.schedule import ROUNDING, Schedule, ScheduleState

WINDOWS = 10
"""Windows of training whose median loss is what a spike is measured against."""


class Ladder(Schedule):
    """Climb one level when a metric has stayed at its threshold; step down on a loss spike.

    Attributes:
        metric: the column of the feedback that has to be good.
        threshold: how good.
        patience: for how many windows in a row.
        fall_back: step down one level when a window's loss is more than this many times the
            median of the last windows at the level, or not finite; null: never.
        deadline: share of the run by which the top is reached even without merit, the levels
            before it at equal distances; no step down goes below the level that is due. Null: no
            deadline, so the top may never be reached.
    """

    adaptive = True

    metric: Literal["exact_accuracy", "halt_accuracy"] = "exact_accuracy"
    threshold: float = Field(default=0.7, ge=0.0, le=1.0)
    patience: int = Field(default=2, ge=1, le=1_000_000)
    fall_back: float | None = Field(default=None, gt=1.0, allow_inf_nan=False)
    deadline: float | None = Field(default=0.7, gt=0.0, le=1.0)

    def begin(self) -> ScheduleState:
        return {"level": 0, "streak": 0, "losses": []}

    def climb(
        self, state: ScheduleState, feedback: Feedback, progress: float, top: int
    ) -> ScheduleState:
        """The state after the window that ends at `progress`; levels are 0 to `top`."""
        level, losses = int(state["level"]), list(state["losses"])
        good = getattr(feedback, self.metric) >= self.threshold
        streak = state["streak"] + 1 if good else 0
        spike = (
            self.fall_back is not None
            and len(losses) >= WINDOWS // 2
            and not feedback.loss <= self.fall_back * median(losses)
        )
        moved = level
        if spike:
            moved = level - 1
        elif streak >= self.patience:
            moved = level + 1
        moved = min(max(moved, self._due(progress, top)), top)
        if moved != level:
            # The loss of another level is another loss: the median starts anew.
            return {"level": moved, "streak": 0, "losses": []}
        if math.isfinite(feedback.loss):
            losses = [*losses, feedback.loss][-WINDOWS:]
        return {"level": level, "streak": streak, "losses": losses}

    def level(self, progress: float, state: ScheduleState, top: int) -> int:
        """The level in force: the one that was earned, or the one that is due."""
        return min(max(int(state["level"]), self._due(progress, top)), top)

    def _due(self, progress: float, top: int) -> int:
        if self.deadline is None:
            return 0
        return math.floor(min(progress / self.deadline, 1.0) * top + ROUNDING)
