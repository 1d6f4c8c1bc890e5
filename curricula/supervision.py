"""How many supervision steps an example gets in training, and what the loss of each counts.

>>> SUPERVISION_SCHEDULES["none"]().at(0.5, 16, {})
16
>>> SUPERVISION_WEIGHTS["decay"](rate=0.5).at(2)
(0.6666666666666666, 0.3333333333333333)
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, field_validator

from curricula.component import Component, SectionIn
from curricula.feedback import Feedback
from curricula.ladder import Ladder
from curricula.limits import MOST_SUPERVISION
from curricula.pacing import AnyCurve, Curve, Linear, require_within
from curricula.schedule import ROUNDING, Schedule, ScheduleState, in_force, require_starts


class SupervisionSchedule(Schedule):
    """The step at which an example halts at the latest; subclasses fix `name`.

    >>> class HalfAtFirst(SupervisionSchedule):
    ...     name: Literal["half_at_first"] = "half_at_first"
    ...
    ...     def at(self, progress, full, state):
    ...         return full if progress >= 0.5 else max(full // 2, 1)
    >>> HalfAtFirst().at(0.2, 16, {})
    8
    """

    name: str

    def at(self, progress: float, full: int, state: ScheduleState) -> int:
        """The last step at `progress`, from 1 to `full`, which is `model.halt_max_steps`."""
        raise NotImplementedError(self.name)


class FullSupervision(SupervisionSchedule):
    """All steps all the time."""

    name: Literal["none"] = "none"

    def at(self, progress: float, full: int, state: ScheduleState) -> int:
        return full


class SupervisionStage(Component):
    """From a share of the run on, at most this many steps.

    Attributes:
        at: share of the run from which on it holds.
        steps: supervision steps at most; null is the model's own.
    """

    at: float = Field(ge=0.0, lt=1.0)
    steps: int | None = Field(default=None, ge=1, le=MOST_SUPERVISION)


class SupervisionStages(SupervisionSchedule):
    """A last step that changes at fixed shares of the run.

    Attributes:
        stages: the steps in force, each from its share of the run on; the first from 0.
    """

    name: Literal["stages"] = "stages"
    stages: list[SupervisionStage] = Field(min_length=1)

    @field_validator("stages")
    @classmethod
    def _in_order(cls, stages: list[SupervisionStage]) -> list[SupervisionStage]:
        require_starts("stage", [stage.at for stage in stages])
        return stages

    def at(self, progress: float, full: int, state: ScheduleState) -> int:
        steps = self.stages[in_force([stage.at for stage in self.stages], progress)].steps
        return full if steps is None else min(steps, full)


class SupervisionRamp(SupervisionSchedule):
    """From `least` steps to all of them along a curve within [0, 1], rounded down.

    With a line it is the supervision curriculum that was proposed for the reference repository
    (its pull request 10): linear from a minimum to the maximum over a warm-up.

    Attributes:
        least: steps where the curve is 0.
        curve: how far between the least and all of them.
    """

    name: Literal["ramp"] = "ramp"
    least: int = Field(default=1, ge=1, le=MOST_SUPERVISION)
    curve: AnyCurve = Linear(start=0.0, end=1.0, hold=0.5)

    @field_validator("curve")
    @classmethod
    def _shares(cls, curve: Curve) -> Curve:
        require_within(curve, 0.0, 1.0)
        return curve

    def at(self, progress: float, full: int, state: ScheduleState) -> int:
        least = min(self.least, full)
        return least + math.floor((full - least) * self.curve.at(progress) + ROUNDING)


class HaltGrowth(Ladder, SupervisionSchedule):
    """One step more whenever halting is well calibrated, from `least` on.

    As a fork of the reference repository does (adamritter/TinyRecursiveModels).

    Attributes:
        least: steps at the beginning.
    """

    name: Literal["halt_growth"] = "halt_growth"
    least: int = Field(default=1, ge=1, le=MOST_SUPERVISION)
    metric: Literal["exact_accuracy", "halt_accuracy"] = "halt_accuracy"
    threshold: float = Field(default=0.8, ge=0.0, le=1.0)

    def observe(
        self, state: ScheduleState, feedback: Feedback, progress: float, full: Any = None
    ) -> ScheduleState:
        return self.climb(state, feedback, progress, full - min(self.least, full))

    def at(self, progress: float, full: int, state: ScheduleState) -> int:
        least = min(self.least, full)
        return least + self.level(progress, state, full - least)


class CompetenceSupervision(HaltGrowth):
    """One step more whenever training is good at what it has."""

    name: Literal["competence"] = "competence"  # type: ignore[assignment]
    metric: Literal["exact_accuracy", "halt_accuracy"] = "exact_accuracy"
    threshold: float = Field(default=0.7, ge=0.0, le=1.0)


SUPERVISION_SCHEDULES: dict[str, type[SupervisionSchedule]] = {
    "none": FullSupervision,
    "stages": SupervisionStages,
    "ramp": SupervisionRamp,
    "halt_growth": HaltGrowth,
    "competence": CompetenceSupervision,
}
AnySupervision = SerializeAsAny[
    Annotated[
        SupervisionSchedule,
        SectionIn(SUPERVISION_SCHEDULES),
    ]
]


class SupervisionWeights(Schedule):
    """What the loss of each supervision step counts; subclasses fix `name`.

    >>> class Rising(SupervisionWeights):
    ...     name: Literal["rising"] = "rising"
    ...
    ...     def at(self, steps):
    ...         return tuple(2.0 * (t + 1) / (steps + 1) for t in range(steps))
    >>> Rising().at(3)
    (0.5, 1.0, 1.5)
    """

    name: str

    @property
    def last_step_only(self) -> bool:
        """Whether only the step at which an example halts has a loss."""
        return False

    def at(self, steps: int) -> tuple[float, ...]:
        """The weights of steps 1 to `steps`; empty where each counts 1."""
        return ()


class EqualWeights(SupervisionWeights):
    """Every step counts 1, as in the reference."""

    name: Literal["none"] = "none"


class DecayingWeights(SupervisionWeights):
    """rate^(t-1) / Z at step t, Z the sum of rate^(t-1) over all steps in force.

    Hierarchical Supervision Weighting of CGAR (arXiv 2511.08653, section 3.5).

    Attributes:
        rate: what each step counts of the one before; 1 is all alike.
    """

    name: Literal["decay"] = "decay"
    rate: float = Field(default=0.7, gt=0.0, le=1.0)

    def at(self, steps: int) -> tuple[float, ...]:
        powers = [self.rate**t for t in range(steps)]
        total = sum(powers)
        return tuple(power / total for power in powers)


class LastStepOnly(SupervisionWeights):
    """Only the step at which an example halts counts, as in RSM (arXiv 2603.15641)."""

    name: Literal["last_step"] = "last_step"

    @property
    def last_step_only(self) -> bool:
        return True


SUPERVISION_WEIGHTS: dict[str, type[SupervisionWeights]] = {
    "none": EqualWeights,
    "decay": DecayingWeights,
    "last_step": LastStepOnly,
}
AnyWeights = SerializeAsAny[Annotated[SupervisionWeights, SectionIn(SUPERVISION_WEIGHTS)]]
