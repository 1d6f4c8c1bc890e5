"""A curriculum: which schedules drive what. A course: one run's way through it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Annotated, Any, ClassVar

from pydantic import Field, SerializeAsAny, field_validator

from curricula.bounds import require_stage
from curricula.component import SectionIn
from curricula.depth import AnyDepth, FullDepth
from curricula.difficulty import AllAlike, AnyDifficulty
from curricula.feedback import Feedback
from curricula.limits import MOST_STEPS
from curricula.pacing import AnyCurve, Curve, require_within
from curricula.schedule import ROUNDING, Schedule
from curricula.sources import AnySources, AsTheyCome
from curricula.stage import Depth, Slice, Stage
from curricula.supervision import AnySupervision, AnyWeights, EqualWeights, FullSupervision


class Curriculum(Schedule):
    """What changes over a run, and how. Each part left out stays as the rest of the config has it.

    Subclasses are curricula with a `name` and other defaults; any part of them can be replaced.

    Attributes:
        depth: H and L cycles.
        supervision: the step at which an example halts at the latest.
        supervision_weights: what the loss of each supervision step counts.
        difficulty: which examples come next.
        sources: from which source, where the task has several.
        halt_weight: factor on `loss.halt_weight`.
        exploration: factor on `model.halt_exploration_prob`; the product is cut to 1.
        latent_noise: standard deviation of Gaussian noise that is added to the carried state
            before each supervision step of training (0: none).
        stochastic_depth: chance, from 0 to 1, with which each H cycle but the last is left out of
            a training step, for the whole batch and at no cost, as stochastic depth leaves out
            layers (arXiv 1603.09382); RSM has it over H (arXiv 2603.15641).
        learning_rate: factor on the optimiser's own schedule.
        rewarm_steps: training steps over which the learning rate rises again from 0 after each
            change of depth (0: it does not fall), as in RSM (arXiv 2603.15641).
        feedback_every: share of the run after which adaptive schedules get feedback.

    >>> from curricula.published import CURRICULA
    >>> cgar = CURRICULA["cgar"]()
    >>> cgar.depth.name, cgar.supervision_weights.name, cgar.is_adaptive
    ('cgar', 'decay', False)
    """

    DRIVES: ClassVar[tuple[str, ...]] = ("depth", "supervision", "difficulty")
    """The parts that may be adaptive."""

    name: str = "custom"
    depth: AnyDepth = FullDepth()
    supervision: AnySupervision = FullSupervision()
    supervision_weights: AnyWeights = EqualWeights()
    difficulty: AnyDifficulty = AllAlike()
    sources: AnySources = AsTheyCome()
    halt_weight: AnyCurve | None = None
    exploration: AnyCurve | None = None
    latent_noise: AnyCurve | None = None
    stochastic_depth: AnyCurve | None = None
    learning_rate: AnyCurve | None = None
    rewarm_steps: int = Field(default=0, ge=0, le=MOST_STEPS)
    feedback_every: float = Field(default=0.01, ge=1e-6, le=1.0)

    @field_validator("halt_weight", "exploration", "latent_noise", "learning_rate")
    @classmethod
    def _not_negative(cls, curve: Curve | None) -> Curve | None:
        if curve is not None:
            require_within(curve, 0.0)
        return curve

    @field_validator("stochastic_depth")
    @classmethod
    def _chance(cls, curve: Curve | None) -> Curve | None:
        if curve is not None:
            require_within(curve, 0.0, 1.0)
        return curve

    @property
    def is_adaptive(self) -> bool:
        """Whether any part depends on feedback."""
        return any(getattr(self, part).adaptive for part in self.DRIVES)


class Course:
    """One run's way through a curriculum: what is in force, and what adaptive parts remember.

    Args:
        curriculum: which schedules.
        full: the values in force without any; depth and supervision steps never exceed them.
        sources: the names of the task's sources, in the order of `Stage.sources`.

    Raises:
        ValueError: the curriculum names a source that the task does not have.

    >>> from curricula.depth import Cgar
    >>> course = Course(Curriculum(depth=Cgar()), Stage(H_cycles=3, L_cycles=6))
    >>> [course.advance(progress).depth for progress in (0.0, 0.45, 0.9)]
    [Depth(H_cycles=1, L_cycles=2), Depth(H_cycles=2, L_cycles=4), Depth(H_cycles=3, L_cycles=6)]
    """

    def __init__(self, curriculum: Curriculum, full: Stage, sources: tuple[str, ...] = ()) -> None:
        curriculum.sources.check(sources)
        self.curriculum = curriculum
        self.full = full
        self._sources = sources
        self._states = {part: getattr(curriculum, part).begin() for part in Curriculum.DRIVES}
        self._windows = 0
        self._since_change: int | None = None
        self._depth: Depth | None = None
        self.stage = self._at(0.0)

    @property
    def bins(self) -> int:
        """Bins of difficulty that feedback must tell apart; 0 if none."""
        return self.curriculum.difficulty.bins

    def advance(self, progress: float) -> Stage:
        """The values for the next training step; to be called once for each.

        Raises:
            ValueError: a part of the curriculum gives what it must not.
        """
        stage = self._at(progress)
        if self._depth is not None and stage.depth != self._depth:
            self._since_change = 0
        self._depth = stage.depth
        if self._since_change is not None:
            rewarm = self.curriculum.rewarm_steps
            if self._since_change < rewarm:
                factor = stage.lr_factor * (self._since_change + 1) / rewarm
                stage = replace(stage, lr_factor=factor)
            self._since_change += 1
        require_stage(stage, self.full, len(self._sources))
        self.stage = stage
        return stage

    def wants_feedback(self, progress: float) -> bool:
        """Whether a window of training ends at `progress`, so that `observe` is to be called."""
        if not self.curriculum.is_adaptive:
            return False
        return self._windows_at(progress) > self._windows

    def observe(self, progress: float, feedback: Feedback) -> None:
        """Let the adaptive parts learn from the window that ends at `progress`."""
        self._windows = self._windows_at(progress)
        full = {"depth": self.full.depth, "supervision": self.full.supervision_steps}
        for part in Curriculum.DRIVES:
            schedule: Schedule = getattr(self.curriculum, part)
            self._states[part] = schedule.observe(
                self._states[part], feedback, progress, full.get(part)
            )

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the course depends on, as JSON values."""
        return {
            "states": {part: dict(state) for part, state in self._states.items()},
            "windows": self._windows,
            "since_change": self._since_change,
            "depth": None if self._depth is None else list(self._depth),
            "stage": asdict(self.stage),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self._states = {part: dict(state["states"][part]) for part in Curriculum.DRIVES}
        self._windows = state["windows"]
        self._since_change = state["since_change"]
        self._depth = None if state["depth"] is None else Depth(*state["depth"])
        stage = dict(state["stage"])
        stage["difficulty"] = tuple(Slice(*part) for part in stage["difficulty"])
        for key in ("supervision_weights", "sources"):
            stage[key] = tuple(stage[key])
        self.stage = Stage(**stage)

    def _windows_at(self, progress: float) -> int:
        return math.floor(progress / self.curriculum.feedback_every + ROUNDING)

    def _at(self, progress: float) -> Stage:
        parts, full, states = self.curriculum, self.full, self._states
        depth = parts.depth.at(progress, full.depth, states["depth"])
        steps = parts.supervision.at(progress, full.supervision_steps, states["supervision"])
        exploration = full.exploration * _value(parts.exploration, progress)
        return Stage(
            H_cycles=depth.H_cycles,
            L_cycles=depth.L_cycles,
            supervision_steps=steps,
            supervision_weights=parts.supervision_weights.at(steps),
            last_step_only=parts.supervision_weights.last_step_only,
            halt_weight=full.halt_weight * _value(parts.halt_weight, progress),
            exploration=min(exploration, 1.0),
            latent_noise=_value(parts.latent_noise, progress, 0.0),
            stochastic_depth=_value(parts.stochastic_depth, progress, 0.0),
            lr_factor=_value(parts.learning_rate, progress),
            difficulty=parts.difficulty.at(progress, states["difficulty"]),
            sources=parts.sources.at(progress, self._sources),
        )


def _value(curve: Curve | None, progress: float, otherwise: float = 1.0) -> float:
    return otherwise if curve is None else curve.at(progress)


def _curricula() -> Mapping[str, type[Curriculum]]:
    from curricula.published import CURRICULA

    return CURRICULA


AnyCurriculum = SerializeAsAny[Annotated[Curriculum, SectionIn(_curricula, "custom")]]
"""A field that takes any curriculum of the registry, by name or as a section."""
