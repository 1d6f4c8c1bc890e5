"""A curriculum: depth comes and goes in waves, and is full at the end."""

import math
from typing import Literal

from pydantic import Field

from curricula.curriculum import Curriculum
from curricula.depth import DEPTH_SCHEDULES, AnyDepth, DepthSchedule
from curricula.published import CURRICULA
from curricula.schedule import ScheduleState
from curricula.stage import Depth


class Wave(DepthSchedule):
    """Depth in waves.

    Attributes:
        waves: times that depth goes from one cycle to the model's own.
    """

    name: Literal["wave"] = "wave"
    waves: int = Field(default=2, ge=1)

    def at(self, progress: float, full: Depth, state: ScheduleState) -> Depth:
        share = 0.5 - 0.5 * math.cos(math.pi * (2 * self.waves - 1) * progress)
        return Depth(*(1 + round(share * (most - 1)) for most in full))


class WaveCurriculum(Curriculum):
    """Depth in waves, all else as the config has it."""

    name: Literal["wave"] = "wave"
    depth: AnyDepth = Wave()


DEPTH_SCHEDULES["wave"] = Wave
CURRICULA["wave"] = WaveCurriculum
