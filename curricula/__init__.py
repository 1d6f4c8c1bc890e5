"""Schedules of training: pure functions of progress and feedback, without torch.

A `Curriculum` composes schedules into one `Stage`, what is in force at a step; a `Course` is one
run's way through it. Nothing is imported before it is used.

>>> import curricula
>>> schedule = curricula.DEPTH_SCHEDULES["cgar"]()
>>> full = curricula.Depth(H_cycles=3, L_cycles=6)
>>> [tuple(schedule.at(progress, full, {})) for progress in (0.0, 0.5, 1.0)]
[(1, 2), (2, 4), (3, 6)]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curricula.component import Component
    from curricula.curriculum import Course, Curriculum
    from curricula.depth import DEPTH_SCHEDULES, DepthSchedule
    from curricula.difficulty import DIFFICULTY_SCHEDULES, DifficultySchedule
    from curricula.feedback import Feedback
    from curricula.pacing import CURVES, Curve
    from curricula.published import CURRICULA
    from curricula.schedule import Schedule
    from curricula.sources import SOURCE_SCHEDULES, SourceSchedule
    from curricula.stage import Depth, Slice, Stage
    from curricula.supervision import (
        SUPERVISION_SCHEDULES,
        SUPERVISION_WEIGHTS,
        SupervisionSchedule,
        SupervisionWeights,
    )

__all__ = [
    "CURRICULA",
    "CURVES",
    "DEPTH_SCHEDULES",
    "DIFFICULTY_SCHEDULES",
    "SOURCE_SCHEDULES",
    "SUPERVISION_SCHEDULES",
    "SUPERVISION_WEIGHTS",
    "Component",
    "Course",
    "Curriculum",
    "Curve",
    "Depth",
    "DepthSchedule",
    "DifficultySchedule",
    "Feedback",
    "Schedule",
    "Slice",
    "SourceSchedule",
    "Stage",
    "SupervisionSchedule",
    "SupervisionWeights",
]

_HOMES = {
    "CURRICULA": "curricula.published",
    "CURVES": "curricula.pacing",
    "DEPTH_SCHEDULES": "curricula.depth",
    "DIFFICULTY_SCHEDULES": "curricula.difficulty",
    "SOURCE_SCHEDULES": "curricula.sources",
    "SUPERVISION_SCHEDULES": "curricula.supervision",
    "SUPERVISION_WEIGHTS": "curricula.supervision",
    "Component": "curricula.component",
    "Course": "curricula.curriculum",
    "Curriculum": "curricula.curriculum",
    "Curve": "curricula.pacing",
    "Depth": "curricula.stage",
    "DepthSchedule": "curricula.depth",
    "DifficultySchedule": "curricula.difficulty",
    "Feedback": "curricula.feedback",
    "Schedule": "curricula.schedule",
    "Slice": "curricula.stage",
    "SourceSchedule": "curricula.sources",
    "Stage": "curricula.stage",
    "SupervisionSchedule": "curricula.supervision",
    "SupervisionWeights": "curricula.supervision",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
