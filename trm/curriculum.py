"""The `curriculum` section: which schedules of `curricula` drive a training run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator

from curricula.depth import Constant, DepthSchedule, DepthStage, Stages
from curricula.stage import Stage
from trm.component import Component, by_name


class DepthConfig(Component):
    """A schedule of recursion depth; subclasses have their own `name`."""

    name: str

    def build(self) -> DepthSchedule:
        """The schedule as a pure function of progress."""
        raise NotImplementedError(self.name)


class NoDepthConfig(DepthConfig):
    """Full depth all the time."""

    name: Literal["none"] = "none"

    def build(self) -> DepthSchedule:
        return Constant()


class DepthStageConfig(Component):
    """One stage: from the share `at` of the budget on, at most this depth (null: the model's)."""

    at: float = Field(ge=0.0, lt=1.0)
    H_cycles: int | None = Field(default=None, ge=1)
    L_cycles: int | None = Field(default=None, ge=1)


class StagesConfig(DepthConfig):
    """Depth that changes at fixed shares of the compute budget, cut to the model's own depth."""

    name: Literal["stages"] = "stages"
    stages: list[DepthStageConfig] = Field(min_length=1)

    @field_validator("stages")
    @classmethod
    def _in_order(cls, stages: list[DepthStageConfig]) -> list[DepthStageConfig]:
        try:
            _schedule(stages)
        except ValueError as error:
            raise ValueError(str(error).removeprefix("stages: ")) from error
        return stages

    def build(self) -> DepthSchedule:
        return _schedule(self.stages)


def _schedule(stages: list[DepthStageConfig]) -> DepthSchedule:
    return Stages([DepthStage(s.at, s.H_cycles, s.L_cycles) for s in stages])


DEPTH_SCHEDULES: dict[str, type[DepthConfig]] = {"none": NoDepthConfig, "stages": StagesConfig}


class CurriculumConfig(Component):
    """What changes over a run. Progress is the share of the compute budget that is spent."""

    depth: SerializeAsAny[
        Annotated[DepthConfig, BeforeValidator(lambda s: by_name(DEPTH_SCHEDULES, s))]
    ] = NoDepthConfig()


class Curriculum:
    """The composed schedules of one run.

    Args:
        config: which schedules.
        full: the model's own depth, at which evaluation always runs.
    """

    def __init__(self, config: CurriculumConfig, full: Stage) -> None:
        self.full = full
        self._depth = config.depth.build()

    def at(self, progress: float) -> Stage:
        """The stage in force at a share of the compute budget in [0, 1]."""
        return self._depth.at(progress, self.full)
