"""The rule of adaptive schedules that climb: level by level, when training has earned it."""

from __future__ import annotations

import math
from statistics import median
from typing import Literal

from pydantic import Field

from curricula.feedback import Feedback
from curricula.schedule import ROUNDING, Schedule, State

WINDOWS = 10
"""Windows of training whose median loss is what a spike is measured against."""


class Ladder(Schedule):
    """Climb one level when a metric has stayed at its threshold; step down on a loss spike.

    Attributes:
        metric: the column of the feedback that has to be good.
        threshold: how good.
        patience: for how many windows in a row.
        fall_back: step down one level when a window's loss is more than this many times the
            median of the last windows; null: never. Wait `patience` windows after any change.
        deadline: share of the run by which the top is reached even without merit, the levels
            before it at equal distances; null: no deadline, so the top may never be reached.
    """

    adaptive = True

    metric: Literal["exact_accuracy", "halt_accuracy"] = "exact_accuracy"
    threshold: float = Field(default=0.7, ge=0.0, le=1.0)
    patience: int = Field(default=2, ge=1)
    fall_back: float | None = Field(default=None, gt=1.0, allow_inf_nan=False)
    deadline: float | None = Field(default=0.7, gt=0.0, le=1.0)

    def begin(self) -> State:
        return {"level": 0, "streak": 0, "wait": 0, "losses": []}

    def climb(self, state: State, feedback: Feedback, top: int) -> State:
        """The state after one more window; levels are 0 to `top`."""
        level, streak, wait = state["level"], state["streak"], max(state["wait"] - 1, 0)
        losses = list(state["losses"])
        streak = streak + 1 if getattr(feedback, self.metric) >= self.threshold else 0
        spike = (
            self.fall_back is not None
            and len(losses) >= WINDOWS // 2
            and not feedback.loss <= self.fall_back * median(losses)
        )
        if math.isfinite(feedback.loss) and not spike:
            losses = [*losses, feedback.loss][-WINDOWS:]
        moved = level
        if not wait and spike:
            moved = max(level - 1, 0)
        elif not wait and streak >= self.patience:
            moved = min(level + 1, top)
        if moved != level:
            # The loss of another level is another loss: the median starts anew.
            return {"level": moved, "streak": 0, "wait": self.patience, "losses": []}
        return {"level": level, "streak": streak, "wait": wait, "losses": losses}

    def level(self, progress: float, state: State, top: int) -> int:
        """The level in force: the one that was earned, or the one that is due."""
        due = 0
        if self.deadline is not None:
            due = math.floor(progress / self.deadline * top + ROUNDING)
        return min(max(int(state["level"]), due), top)
