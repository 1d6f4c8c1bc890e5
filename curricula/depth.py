"""How deep a supervision step recurses. Evaluation is always at full depth.

Every schedule stays between one cycle and the model's own depth, so that one schedule can serve a
search over depth.

>>> DEPTH_SCHEDULES["cgar"]().at(0.0, Depth(H_cycles=3, L_cycles=6), {})
Depth(H_cycles=1, L_cycles=2)
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, field_validator

from curricula.component import Component, SectionIn
from curricula.feedback import Feedback
from curricula.ladder import Ladder
from curricula.limits import MOST_CYCLES
from curricula.pacing import AnyCurve, Curve, Linear, require_within
from curricula.schedule import (
    ROUNDING,
    Schedule,
    ScheduleState,
    in_force,
    require_rising,
    require_starts,
    starts_of,
)
from curricula.stage import Depth

Driven = Literal["both", "H", "L"]
"""Which of the two depths a share drives; the other stays full."""


class DepthSchedule(Schedule):
    """Depth over a run; subclasses fix `name`.

    >>> class Half(DepthSchedule):
    ...     name: Literal["half"] = "half"
    ...
    ...     def at(self, progress, full, state):
    ...         return full if progress >= 0.5 else Depth(1, full.L_cycles)
    >>> Half().at(0.2, Depth(H_cycles=3, L_cycles=6), {})
    Depth(H_cycles=1, L_cycles=6)
    """

    name: str

    def at(self, progress: float, full: Depth, state: ScheduleState) -> Depth:
        """The depth at `progress`, between (1, 1) and `full`."""
        raise NotImplementedError(self.name)


class FullDepth(DepthSchedule):
    """Full depth all the time."""

    name: Literal["none"] = "none"

    def at(self, progress: float, full: Depth, state: ScheduleState) -> Depth:
        return full


class DepthStage(Component):
    """From a share of the run on, at most this depth.

    Attributes:
        at: share of the run from which on it holds.
        H_cycles: H cycles at most; null is the model's own.
        L_cycles: L cycles likewise.
    """

    at: float = Field(ge=0.0, lt=1.0)
    H_cycles: int | None = Field(default=None, ge=1, le=MOST_CYCLES)
    L_cycles: int | None = Field(default=None, ge=1, le=MOST_CYCLES)


class Stages(DepthSchedule):
    """Depth that changes at fixed shares of the run, cut to the model's own depth.

    Attributes:
        stages: the depths in force, each from its share of the run on; the first from 0.

    >>> growth = Stages(stages=[DepthStage(at=0.0, H_cycles=1), DepthStage(at=0.6)])
    >>> growth.at(0.5, Depth(3, 2), {}), growth.at(0.6, Depth(3, 2), {})
    (Depth(H_cycles=1, L_cycles=2), Depth(H_cycles=3, L_cycles=2))
    """

    name: Literal["stages"] = "stages"
    stages: list[DepthStage] = Field(min_length=1)

    @field_validator("stages")
    @classmethod
    def _in_order(cls, stages: list[DepthStage]) -> list[DepthStage]:
        require_starts("stage", [stage.at for stage in stages])
        return stages

    def at(self, progress: float, full: Depth, state: ScheduleState) -> Depth:
        stage = self.stages[in_force([stage.at for stage in self.stages], progress)]
        return _cut(stage.H_cycles, stage.L_cycles, full)


class DepthSegment(Component):
    """At most this depth for a share of the run.

    Attributes:
        length: its length, relative to the sum of all of them.
        H_cycles: H cycles at most; null is the model's own.
        L_cycles: L cycles likewise.
    """

    length: float = Field(default=1.0, gt=0.0, le=1e6)
    H_cycles: int | None = Field(default=None, ge=1, le=MOST_CYCLES)
    L_cycles: int | None = Field(default=None, ge=1, le=MOST_CYCLES)


class DepthSegments(DepthSchedule):
    """Stages with relative lengths: in order by construction, so that lengths can be searched.

    Attributes:
        segments: the depths in force, one after another.
    """

    name: Literal["segments"] = "segments"
    segments: list[DepthSegment] = Field(min_length=1)

    def at(self, progress: float, full: Depth, state: ScheduleState) -> Depth:
        starts = starts_of([segment.length for segment in self.segments])
        segment = self.segments[in_force(starts, progress)]
        return _cut(segment.H_cycles, segment.L_cycles, full)


class DepthRamp(DepthSchedule):
    """A share of the full depth, rounded up, that follows a curve within [0, 1].

    Attributes:
        curve: the share of the full depth.
        drives: what follows it: H cycles, L cycles or both; the other is always full.
    """

    name: Literal["ramp"] = "ramp"
    curve: AnyCurve = Linear(start=0.0, end=1.0, hold=0.4)
    drives: Driven = "both"

    @field_validator("curve")
    @classmethod
    def _shares(cls, curve: Curve) -> Curve:
        require_within(curve, 0.0, 1.0)
        return curve

    def at(self, progress: float, full: Depth, state: ScheduleState) -> Depth:
        return _share(self.curve.at(progress), full, self.drives)


class Cgar(DepthSchedule):
    """A third of the depth, two thirds, then all of it, each rounded up.

    Progressive Depth Curriculum of CGAR (arXiv 2511.08653, section 3.3): at (H, L) = (3, 6) it is
    (1, 2), from 30 % of the run on (2, 4), from 60 % on (3, 6).

    Attributes:
        first: share of the run at a third of the depth.
        second: share of the rest at two thirds; 3/7 of 0.7 is the paper's 0.3.
    """

    name: Literal["cgar"] = "cgar"
    first: float = Field(default=0.3, ge=0.0, lt=1.0)
    second: float = Field(default=3 / 7, ge=0.0, lt=1.0)

    def at(self, progress: float, full: Depth, state: ScheduleState) -> Depth:
        middle = self.first + self.second * (1.0 - self.first)
        thirds = 1 + (progress + ROUNDING >= self.first) + (progress + ROUNDING >= middle)
        return Depth(-(-thirds * full.H_cycles // 3), -(-thirds * full.L_cycles // 3))


class Rsm(DepthSchedule):
    """H and L grow by one at milestones of their own, from `start` to the model's own depth.

    The growth schedule of the Recursive Stem Model (arXiv 2603.15641), whose milestones are the
    defaults.

    Attributes:
        start: H and L cycles at the beginning.
        H_at: shares of the run at which one H cycle is added; later ones than the depth needs
            have no effect.
        L_at: the same for L cycles.
        stretch: what these shares are multiplied by; below 1 the growth ends earlier.
    """

    name: Literal["rsm"] = "rsm"
    start: int = Field(default=2, ge=1, le=MOST_CYCLES)
    H_at: list[float] = Field(default=[0.201, 0.401, 0.551, 0.651, 0.751, 0.851])
    L_at: list[float] = Field(default=[0.301, 0.501, 0.701, 0.801, 0.841])
    stretch: float = Field(default=1.0, gt=0.0, le=1.0)

    @field_validator("H_at", "L_at")
    @classmethod
    def _in_order(cls, shares: list[float]) -> list[float]:
        require_rising(shares)
        return shares

    def at(self, progress: float, full: Depth, state: ScheduleState) -> Depth:
        grown = [
            self.start + sum(progress + ROUNDING >= share * self.stretch for share in shares)
            for shares in (self.H_at, self.L_at)
        ]
        return _cut(grown[0], grown[1], full)


class CompetenceDepth(Ladder, DepthSchedule):
    """Deeper, in `levels` equal shares of the full depth, when training is good at the level.

    Attributes:
        levels: equal shares of the full depth.
        drives: what the levels count: H cycles, L cycles or both; the other is always full.
    """

    name: Literal["competence"] = "competence"
    levels: int = Field(default=3, ge=2, le=1000)
    drives: Driven = "both"

    def observe(
        self, state: ScheduleState, feedback: Feedback, progress: float, full: Any = None
    ) -> ScheduleState:
        return self.climb(state, feedback, progress, self.levels - 1)

    def at(self, progress: float, full: Depth, state: ScheduleState) -> Depth:
        level = self.level(progress, state, self.levels - 1)
        return _share((level + 1) / self.levels, full, self.drives)


class HaltGrowthDepth(CompetenceDepth):
    """Deeper when halting is well calibrated."""

    name: Literal["halt_growth"] = "halt_growth"  # type: ignore[assignment]
    metric: Literal["exact_accuracy", "halt_accuracy"] = "halt_accuracy"
    threshold: float = Field(default=0.8, ge=0.0, le=1.0)


DEPTH_SCHEDULES: dict[str, type[DepthSchedule]] = {
    "none": FullDepth,
    "stages": Stages,
    "segments": DepthSegments,
    "ramp": DepthRamp,
    "cgar": Cgar,
    "rsm": Rsm,
    "competence": CompetenceDepth,
    "halt_growth": HaltGrowthDepth,
}
AnyDepth = SerializeAsAny[Annotated[DepthSchedule, SectionIn(DEPTH_SCHEDULES)]]


def _cut(H_cycles: int | None, L_cycles: int | None, full: Depth) -> Depth:
    return Depth(
        full.H_cycles if H_cycles is None else min(H_cycles, full.H_cycles),
        full.L_cycles if L_cycles is None else min(L_cycles, full.L_cycles),
    )


def _share(share: float, full: Depth, drives: Driven) -> Depth:
    H_cycles, L_cycles = (max(math.ceil(share * depth - ROUNDING), 1) for depth in full)
    return Depth(
        full.H_cycles if drives == "L" else H_cycles, full.L_cycles if drives == "H" else L_cycles
    )
