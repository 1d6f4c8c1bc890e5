"""What every schedule promises, as one function for the tests of ours and of plug-ins.

>>> from curricula.depth import Cgar
>>> check(Cgar())
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

from curricula.bounds import (
    require_count,
    require_shares,
    require_slices,
    require_stage,
    require_weights,
)
from curricula.curriculum import Course, Curriculum
from curricula.depth import DepthSchedule
from curricula.difficulty import DifficultySchedule
from curricula.feedback import Feedback
from curricula.pacing import Curve
from curricula.schedule import Schedule, ScheduleState
from curricula.sources import SourceSchedule
from curricula.stage import Depth, Stage
from curricula.supervision import SupervisionSchedule, SupervisionWeights

WINDOWS = 120
DEPTHS = (Depth(1, 1), Depth(1, 8), Depth(3, 6), Depth(4, 1))
STEPS = (1, 2, 16)
SOURCES = ("a", "b", "c")


def check(schedule: Schedule, seed: int = 0) -> None:
    """Values within their bounds, pure, serialisable, and restored mid-run, whatever the feedback.

    Args:
        seed: of the feedback that the schedule gets.

    Raises:
        AssertionError: the schedule breaks a promise.
    """
    before = random.getstate()
    twin = type(schedule).model_validate(json.loads(json.dumps(schedule.model_dump(mode="json"))))
    assert twin == schedule, (twin, schedule)
    if isinstance(schedule, Curve):
        assert isinstance(twin, Curve)
        _check_curve(schedule, twin)
    elif isinstance(schedule, DepthSchedule):
        for full in DEPTHS:
            for depth in _values(schedule, partial(_depth, schedule, full), seed, full):
                for n, most in zip(depth, full, strict=True):
                    _holds(require_count, "depth", n, most)
    elif isinstance(schedule, SupervisionSchedule):
        for most in STEPS:
            for steps in _values(schedule, partial(_steps, schedule, most), seed, most):
                _holds(require_count, "supervision", steps, most)
    elif isinstance(schedule, DifficultySchedule):
        for slices in _values(schedule, schedule.at, seed, None, schedule.bins):
            _holds(require_slices, slices)
    elif isinstance(schedule, SourceSchedule):
        for shares in _values(schedule, lambda p, s: schedule.at(p, SOURCES), seed):
            _holds(require_shares, shares, len(SOURCES))
    elif isinstance(schedule, SupervisionWeights):
        for most in STEPS:
            _holds(require_weights, schedule.at(most), most)
    else:
        assert isinstance(schedule, Curriculum), type(schedule)
        _check_curriculum(schedule, seed)
    assert random.getstate() == before, "the global random generator was used"


def feedbacks(seed: int, bins: int) -> Iterator[Feedback]:
    """A run's feedback, of all kinds: good and bad stretches, spikes, non-finite, empty bins."""
    rng = random.Random(seed)
    mood = 0.0
    for index in range(WINDOWS):
        if index % 10 == 0:
            mood = rng.choice([0.0, 0.5, 1.0, rng.random()])
        loss = rng.choice([1.0, 1.0, 1.0, rng.random(), 10.0, 0.0, math.nan, math.inf])
        counts = [rng.choice([0, 0, 1, 50]) for _ in range(bins)]
        yield Feedback(loss, mood, mood, tuple((n, rng.random() * bool(n)) for n in counts))


def _holds(require: Callable[..., None], *arguments: Any) -> None:
    try:
        require(*arguments)
    except ValueError as error:
        raise AssertionError(str(error)) from error


def _depth(schedule: DepthSchedule, full: Depth, progress: float, state: ScheduleState) -> Depth:
    return schedule.at(progress, full, state)


def _steps(schedule: SupervisionSchedule, full: int, progress: float, state: ScheduleState) -> int:
    return schedule.at(progress, full, state)


def _check_curve(curve: Curve, twin: Curve) -> None:
    low, high = curve.bounds
    values = [curve.at(progress) for progress in _progress()]
    assert all(low <= value <= high for value in values), (min(values), max(values), low, high)
    assert values == [twin.at(progress) for progress in _progress()]
    if curve.monotone:
        rises, falls = (
            all(sign * a <= sign * b for a, b in pairwise(values)) for sign in (1.0, -1.0)
        )
        assert rises or falls, values


def _values(
    schedule: Schedule,
    at: Callable[[float, ScheduleState], Any],
    seed: int,
    full: Any = None,
    bins: int = 0,
) -> list[Any]:
    """The values of a run; on the way, that each step is pure and its state is plain JSON."""
    values: list[Any] = []
    state = schedule.begin()
    for progress, feedback in zip(_progress(), feedbacks(seed, bins), strict=True):
        values.append(at(progress, state))
        text = json.dumps(state)
        stored = json.loads(text)
        assert stored == state, f"not JSON: {state}"
        assert at(progress, stored) == values[-1]
        following = schedule.observe(stored, feedback, progress, full)
        assert json.dumps(stored) == text, "observe changed the state that it was given"
        assert schedule.observe(state, feedback, progress, full) == following
        assert schedule.adaptive or following == state, "not adaptive, but has a state"
        state = following
    return values


def _check_curriculum(curriculum: Curriculum, seed: int) -> None:
    full = Stage(H_cycles=3, L_cycles=6)

    def begin() -> Course:
        return Course(curriculum, full, SOURCES)

    course, resumed = begin(), begin()
    for progress, feedback in zip(_progress(), feedbacks(seed, course.bins), strict=True):
        stage = course.advance(progress)
        _holds(require_stage, stage, full, len(SOURCES))
        assert resumed.advance(progress) == stage
        for each in (course, resumed):
            if each.wants_feedback(progress):
                each.observe(progress, feedback)
        stored = json.loads(json.dumps(resumed.state_dict()))
        resumed = begin()
        resumed.load_state_dict(stored)
        assert resumed.stage == course.stage
        assert resumed.state_dict() == course.state_dict()


def _progress() -> Iterator[float]:
    return (index / (WINDOWS - 1) for index in range(WINDOWS))
