"""Curricula by name: published ones, and the registry of all.

Each is a `Curriculum` with other defaults, so that any part of it can be replaced:
`{name: cgar, supervision_weights: {name: decay, rate: 0.9}}`.

>>> CURRICULA["easy_to_hard"]().difficulty.name
'easy_to_hard'
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from curricula.curriculum import Curriculum
from curricula.depth import AnyDepth, Cgar, CompetenceDepth, HaltGrowthDepth, Rsm
from curricula.difficulty import (
    AnyDifficulty,
    Bandit,
    CompetenceDifficulty,
    EasyToHard,
    HardToEasy,
)
from curricula.limits import MOST_STEPS
from curricula.supervision import (
    AnySupervision,
    AnyWeights,
    DecayingWeights,
    HaltGrowth,
    LastStepOnly,
    SupervisionRamp,
)


class CustomCurriculum(Curriculum):
    """Nothing changes but what the section says."""

    name: Literal["custom"] = "custom"


class NoCurriculum(Curriculum):
    """Nothing changes."""

    name: Literal["none"] = "none"

    @model_validator(mode="after")
    def _still(self) -> NoCurriculum:
        for part, field in Curriculum.model_fields.items():
            if part != "name" and getattr(self, part) != field.default:
                raise ValueError(f"none drives nothing, and {part} is given: use custom")
        return self


class CgarCurriculum(Curriculum):
    """Depth in three stages and decaying supervision weights: CGAR (arXiv 2511.08653)."""

    name: Literal["cgar"] = "cgar"
    depth: AnyDepth = Cgar()
    supervision_weights: AnyWeights = DecayingWeights(rate=0.7)


class RsmCurriculum(Curriculum):
    """H and L grow at milestones, the learning rate re-warms over 200 steps, last-step loss.

    The Recursive Stem Model (arXiv 2603.15641).
    """

    name: Literal["rsm"] = "rsm"
    depth: AnyDepth = Rsm()
    supervision_weights: AnyWeights = LastStepOnly()
    rewarm_steps: int = Field(default=200, ge=0, le=MOST_STEPS)


class SupervisionRampCurriculum(Curriculum):
    """Supervision steps grow in a line (pull request 10 of the reference repository)."""

    name: Literal["supervision_ramp"] = "supervision_ramp"
    supervision: AnySupervision = SupervisionRamp()


class HaltGrowthCurriculum(Curriculum):
    """One supervision step more whenever halting is well calibrated (a fork by adamritter)."""

    name: Literal["halt_growth"] = "halt_growth"
    supervision: AnySupervision = HaltGrowth()


class DepthHaltGrowthCurriculum(Curriculum):
    """Deeper recursion whenever halting is well calibrated."""

    name: Literal["depth_halt_growth"] = "depth_halt_growth"
    depth: AnyDepth = HaltGrowthDepth()


class EasyToHardCurriculum(Curriculum):
    """A pool of examples that grows from the easiest (chenglou/sudoku-solver; arXiv 2601.10679)."""

    name: Literal["easy_to_hard"] = "easy_to_hard"
    difficulty: AnyDifficulty = EasyToHard()


class HardToEasyCurriculum(Curriculum):
    """A pool of examples that grows from the hardest (chenglou/sudoku-solver)."""

    name: Literal["hard_to_easy"] = "hard_to_easy"
    difficulty: AnyDifficulty = HardToEasy()


class CompetenceCurriculum(Curriculum):
    """Deeper, in steps of a third, when training accuracy has earned it."""

    name: Literal["competence"] = "competence"
    depth: AnyDepth = CompetenceDepth()


class CompetencePoolCurriculum(Curriculum):
    """A pool of examples that grows from the easiest when training accuracy has earned it."""

    name: Literal["competence_pool"] = "competence_pool"
    difficulty: AnyDifficulty = CompetenceDifficulty()


class BanditCurriculum(Curriculum):
    """More of the examples on which accuracy is moving (arXiv 1707.00183)."""

    name: Literal["bandit"] = "bandit"
    difficulty: AnyDifficulty = Bandit()


CURRICULA: dict[str, type[Curriculum]] = {
    "custom": CustomCurriculum,
    "none": NoCurriculum,
    "cgar": CgarCurriculum,
    "rsm": RsmCurriculum,
    "supervision_ramp": SupervisionRampCurriculum,
    "halt_growth": HaltGrowthCurriculum,
    "depth_halt_growth": DepthHaltGrowthCurriculum,
    "easy_to_hard": EasyToHardCurriculum,
    "hard_to_easy": HardToEasyCurriculum,
    "competence": CompetenceCurriculum,
    "competence_pool": CompetencePoolCurriculum,
    "bandit": BanditCurriculum,
}
