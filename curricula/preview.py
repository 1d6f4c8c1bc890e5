"""What a curriculum will do with a run, found by walking through it step by step.

Progress is a share of the compute budget, not of the training steps. A schedule of depth that
shares out the compute spends more of its steps where they are cheap: CGAR's thirds of depth
(arXiv 2511.08653, section 3.3) save 41 % of the compute when 30, 30 and 40 % of the *steps* belong
to them, as in the paper, and more when it is 30, 30 and 40 % of the compute, as here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields
from typing import Any

from pydantic import BaseModel

from curricula.curriculum import Course, Curriculum
from curricula.feedback import Feedback
from curricula.pacing import Piecewise, Segments
from curricula.schedule import ROUNDING, starts_of
from curricula.stage import Depth, Stage

DepthCost = Callable[[Depth], float]
"""FLOPs of one training step."""

Assumption = Callable[[float], Feedback]
"""What training is assumed to tell an adaptive curriculum at a share of the run."""

RESOLUTION = 1000
"""Evenly spaced points that are kept of a path, however many steps it has."""

QUIET = 0.005
"""A quantity that rests for this share of a run has ended its movement."""

_WHOLE = ("H_cycles", "L_cycles", "supervision_steps")
# Weights of supervision steps follow from how many there are.
_MOVING = tuple(
    field.name
    for field in fields(Stage)
    if field.name not in ("supervision_weights", "last_step_only")
)


@dataclass(frozen=True, slots=True)
class PreviewPoint:
    """One training step of a path.

    Attributes:
        step: training steps before it.
        progress: share of the budget that is spent before it.
        reached: share of the budget that is spent once it is done.
        compute: FLOPs that are spent once it is done.
        stage: the values in force.
    """

    step: int
    progress: float
    reached: float
    compute: float
    stage: Stage


@dataclass(frozen=True)
class Change:
    """A quantity of the stage that jumps (`first` is `last`) or moves one way for many steps.

    Attributes:
        quantity: the field of `Stage`.
        first: the first step with a new value.
        last: the first step with the last value.
        before: the value before the first step.
        after: the value at the last.
    """

    quantity: str
    first: PreviewPoint
    last: PreviewPoint
    before: Any
    after: Any


@dataclass(frozen=True)
class Landmark:
    """A milestone that the config gives a label: the part that it belongs to, its first step."""

    label: str
    part: str
    point: PreviewPoint


@dataclass(frozen=True)
class Preview:
    """A whole run.

    Attributes:
        points: the first step, the last, those around every change, and evenly spaced ones.
        changes: by their first step.
        landmarks: likewise.
        steps: training steps that the budget buys.
        compute: FLOPs that they cost; the last step may go past the budget.
        full_steps: training steps that the budget would buy at full depth.
        full_compute: FLOPs that `steps` would cost at full depth.
    """

    points: tuple[PreviewPoint, ...]
    changes: tuple[Change, ...]
    landmarks: tuple[Landmark, ...]
    steps: int
    compute: float
    full_steps: int
    full_compute: float

    @property
    def saved(self) -> float:
        """Share of the compute that the same number of steps would cost at full depth."""
        return 1.0 - self.compute / self.full_compute


def always(metric: float, bins: int = 0) -> Assumption:
    """Every window of training has the same loss, and this value of each metric.

    1 is the most that training can say for moving on, so the earliest that a curriculum may move;
    0 is the least, which leaves it to its deadline.
    """
    feedback = Feedback(1.0, metric, metric, ((1, metric),) * bins)
    return lambda _: feedback


def walk(
    curriculum: Curriculum,
    full: Stage,
    cost: DepthCost,
    budget: float,
    sources: tuple[str, ...] = (),
    feedback: Assumption | None = None,
) -> Iterator[PreviewPoint]:
    """Every training step of a run, as the trainer takes them.

    Args:
        curriculum: which schedules.
        full: the values in force without any.
        cost: FLOPs of one training step at a depth.
        budget: FLOPs of the run.
        sources: the names of the task's sources.
        feedback: what training tells adaptive parts; None lets them move as early as they may.

    >>> stage = Stage(H_cycles=1, L_cycles=1)
    >>> [point.reached for point in walk(Curriculum(), stage, lambda _: 2.0, budget=5.0)]
    [0.4, 0.8, 1.0]
    """
    course = Course(curriculum, full, sources)
    told = feedback or always(1.0, course.bins)
    costs: dict[tuple[Depth, float], float] = {}
    step, spent = 0, 0.0
    # The trainer forgives the same rounding, so that a budget in steps buys exactly as many.
    while spent < budget * (1.0 - 1e-12):
        progress = min(spent / budget, 1.0)
        stage = course.advance(progress)
        kind = (stage.depth, stage.stochastic_depth)
        if kind not in costs:
            costs[kind] = mean_cost(stage, cost)
        spent += costs[kind]
        reached = min(spent / budget, 1.0)
        yield PreviewPoint(step, progress, reached, spent, stage)
        if course.wants_feedback(reached):
            course.observe(reached, told(reached))
        step += 1


def mean_cost(stage: Stage, cost: DepthCost) -> float:
    """What a training step costs in the mean of what is left out of it at random.

    >>> stage = Stage(H_cycles=3, L_cycles=1, stochastic_depth=0.5)
    >>> mean_cost(stage, lambda depth: 10.0 * depth.H_cycles)
    20.0
    """
    depth, chance = stage.depth, stage.stochastic_depth
    if not chance or depth.H_cycles == 1:
        return cost(depth)
    # A cycle more costs what the one before it did, but for how far the gradient goes.
    least, most = cost(depth._replace(H_cycles=1)), cost(depth)
    return most + chance * (least - most)


def preview(
    curriculum: Curriculum,
    full: Stage,
    cost: DepthCost,
    budget: float,
    sources: tuple[str, ...] = (),
    feedback: Assumption | None = None,
    keep: Collection[int] = (),
    watch: Callable[[float], object] = lambda _: None,
) -> Preview:
    """Walk through a run and keep what a picture of it needs; the arguments of `walk`, and

    Args:
        keep: steps whose points are kept in any case.
        watch: told the share of the walk that is done, `RESOLUTION` times at most.
    """
    kept: dict[int, PreviewPoint] = {}
    changes: list[Change] = []
    landmarks: list[Landmark] = []
    moving: dict[str, _Movement] = {}
    ahead = sorted(_labels(curriculum))
    last: PreviewPoint | None = None
    due = 0.0
    for point in walk(curriculum, full, cost, budget, sources, feedback):
        moves = {} if last is None else _moves(last.stage, point.stage)
        for quantity, way in moves.items():
            assert last is not None
            movement = moving.get(quantity)
            if movement is not None and movement.goes_on(way, point):
                movement.last = point
            else:
                if movement is not None:
                    changes.append(movement.change(quantity))
                moving[quantity] = _Movement(way, last, point, point)
                kept[last.step] = last
                kept[point.step] = point
        while ahead and point.progress + ROUNDING >= ahead[0][0]:
            _, part, label = ahead.pop(0)
            landmarks.append(Landmark(label, part, point))
            kept[point.step] = point
        if point.progress >= due or point.step in keep:
            kept[point.step] = point
            watch(point.reached)
            due = (math.floor(point.progress * RESOLUTION) + 1) / RESOLUTION
        last = point
    assert last is not None, budget
    kept[last.step] = last
    changes += [movement.change(quantity) for quantity, movement in moving.items()]
    kept |= {change.last.step: change.last for change in changes}
    steps, full_cost = last.step + 1, cost(full.depth)
    return Preview(
        points=tuple(kept[step] for step in sorted(kept)),
        changes=tuple(sorted(changes, key=lambda c: (c.first.step, _MOVING.index(c.quantity)))),
        landmarks=tuple(landmarks),
        steps=steps,
        compute=last.compute,
        full_steps=math.ceil(budget * (1.0 - 1e-12) / full_cost),
        full_compute=steps * full_cost,
    )


@dataclass
class _Movement:
    """A quantity on its way: 1 up, -1 down, 0 where there is no up; None for a jump."""

    way: int | None
    before: PreviewPoint
    first: PreviewPoint
    last: PreviewPoint

    def goes_on(self, way: int | None, point: PreviewPoint) -> bool:
        rested = point.step > self.last.step + 1 and point.progress - self.last.progress > QUIET
        return way is not None and way == self.way and not rested

    def change(self, quantity: str) -> Change:
        before, after = (getattr(at.stage, quantity) for at in (self.before, self.last))
        return Change(quantity, self.first, self.last, before, after)


def _moves(before: Stage, after: Stage) -> dict[str, int | None]:
    """The quantities that differ, and which way."""
    moves: dict[str, int | None] = {}
    if before == after:
        return moves
    for quantity in _MOVING:
        old, new = getattr(before, quantity), getattr(after, quantity)
        if old != new:
            moves[quantity] = 0 if isinstance(old, tuple) else 1 if new > old else -1
            if quantity in _WHOLE:
                moves[quantity] = None
    return moves


def _labels(curriculum: Curriculum) -> Iterator[tuple[float, str, str]]:
    """Where each labelled milestone stands, the part of the curriculum, the label."""
    for part in type(curriculum).model_fields:
        for curve in _curves(getattr(curriculum, part)):
            if isinstance(curve, Piecewise):
                named = [(m.at, m.label) for m in curve.milestones]
            else:
                starts = starts_of([segment.length for segment in curve.segments])
                labels = [segment.label for segment in curve.segments]
                named = list(zip(starts, labels, strict=True))
            yield from ((at, part, label) for at, label in named if label)


def _curves(value: Any) -> Iterator[Piecewise | Segments]:
    """The curves with milestones in a part of a curriculum, however deep."""
    if isinstance(value, Piecewise | Segments):
        yield value
    elif isinstance(value, BaseModel):
        for field in type(value).model_fields:
            yield from _curves(getattr(value, field))
    elif isinstance(value, list | dict):
        for child in value.values() if isinstance(value, dict) else value:
            yield from _curves(child)
