"""Which training examples come next, by difficulty.

Examples are ordered by difficulty within their source: the easiest is at 0, the hardest at 1. A
schedule gives disjoint slices of that order with weights; no slice is all of it.

>>> DIFFICULTY_SCHEDULES["none"]().at(0.5, {})
()
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, field_validator

from curricula.component import SectionIn
from curricula.feedback import Feedback
from curricula.ladder import Ladder
from curricula.pacing import AnyCurve, Constant, Curve, Linear, require_within
from curricula.schedule import Schedule, ScheduleState
from curricula.stage import Slice

HEAVIEST = 1e6
"""The largest weight: sums and ratios of weights must stay finite."""

NARROWEST = 0.001
"""The least share of the examples that a slice may hold."""


class DifficultySchedule(Schedule):
    """The mix of examples over a run; subclasses fix `name`.

    >>> class EasyHalf(DifficultySchedule):
    ...     name: Literal["easy_half"] = "easy_half"
    ...
    ...     def at(self, progress, state):
    ...         return (Slice(0.0, 0.5),) if progress < 0.5 else ()
    >>> EasyHalf().at(0.2, {})
    (Slice(low=0.0, high=0.5, weight=1.0),)
    """

    name: str

    @property
    def bins(self) -> int:
        """Bins of difficulty that the feedback must tell apart; 0 if none."""
        return 0

    def at(self, progress: float, state: ScheduleState) -> tuple[Slice, ...]:
        """Where the next examples come from; empty: from all alike."""
        raise NotImplementedError(self.name)


class AllAlike(DifficultySchedule):
    """All examples alike, all the time."""

    name: Literal["none"] = "none"

    def at(self, progress: float, state: ScheduleState) -> tuple[Slice, ...]:
        return ()


class Window(DifficultySchedule):
    """A window of `width` that slides from the easiest examples (position 0) to the hardest (1).

    Attributes:
        position: where the window stands: 0 at the easiest examples, 1 at the hardest.
        width: share of the examples in it.

    >>> Window(position=0.5, width=0.5).at(0.0, {})
    (Slice(low=0.25, high=0.75, weight=1.0),)
    """

    name: Literal["window"] = "window"
    position: AnyCurve = Linear(start=0.0, end=1.0)
    width: AnyCurve = Constant(value=0.5)

    @field_validator("position")
    @classmethod
    def _inside(cls, curve: Curve) -> Curve:
        require_within(curve, 0.0, 1.0)
        return curve

    @field_validator("width")
    @classmethod
    def _wide(cls, curve: Curve) -> Curve:
        require_within(curve, NARROWEST, 1.0)
        return curve

    def at(self, progress: float, state: ScheduleState) -> tuple[Slice, ...]:
        return _window(self.position.at(progress), self.width.at(progress))


class EasyToHard(DifficultySchedule):
    """A pool that grows from the easiest examples to all, along `pool`, its share of them.

    Attributes:
        pool: share of the examples that are in the pool.
    """

    name: Literal["easy_to_hard"] = "easy_to_hard"
    pool: AnyCurve = Linear(start=0.25, end=1.0, hold=0.4)

    @field_validator("pool")
    @classmethod
    def _shares(cls, curve: Curve) -> Curve:
        require_within(curve, NARROWEST, 1.0)
        return curve

    def at(self, progress: float, state: ScheduleState) -> tuple[Slice, ...]:
        return _window(0.0, self.pool.at(progress))


class HardToEasy(EasyToHard):
    """A pool that grows from the hardest examples to all, along `pool`, its share of them."""

    name: Literal["hard_to_easy"] = "hard_to_easy"  # type: ignore[assignment]

    def at(self, progress: float, state: ScheduleState) -> tuple[Slice, ...]:
        return _window(1.0, self.pool.at(progress))


class Mixture(DifficultySchedule):
    """Equal bins of difficulty, the easiest first, each with a weight that follows a curve.

    Attributes:
        weights: a curve for each bin.
    """

    name: Literal["mixture"] = "mixture"
    weights: list[AnyCurve] = Field(min_length=1)

    @field_validator("weights")
    @classmethod
    def _weights(cls, curves: list[Curve]) -> list[Curve]:
        for index, curve in enumerate(curves):
            require_within(curve, 0.0, HEAVIEST, what=f"[{index}]")
        return curves

    def at(self, progress: float, state: ScheduleState) -> tuple[Slice, ...]:
        return _bins([curve.at(progress) for curve in self.weights])


class CompetenceDifficulty(Ladder, DifficultySchedule):
    """A pool that grows in `levels` equal shares when training is good at what is in it.

    Attributes:
        order: from which end it grows.
        levels: equal shares of the examples.
    """

    name: Literal["competence"] = "competence"
    levels: int = Field(default=4, ge=2, le=int(1 / NARROWEST))
    order: Literal["easy_to_hard", "hard_to_easy"] = "easy_to_hard"

    def observe(
        self, state: ScheduleState, feedback: Feedback, progress: float, full: Any = None
    ) -> ScheduleState:
        return self.climb(state, feedback, progress, self.levels - 1)

    def at(self, progress: float, state: ScheduleState) -> tuple[Slice, ...]:
        level = self.level(progress, state, self.levels - 1)
        return _window(float(self.order == "hard_to_easy"), (level + 1) / self.levels)


class Bandit(DifficultySchedule):
    """More of the bins of difficulty in which accuracy is moving, up or down.

    With r the change of a bin's accuracy since its last window, its learning progress is
    Q = rate * r + (1 - rate) * Q, and its weight is its share of the sum of |Q|; a part `explore`
    of the examples is drawn from all bins alike. The online algorithm of Matiisen et al.,
    "Teacher-Student Curriculum Learning" (arXiv 1707.00183), with weights in proportion to |Q|.

    Attributes:
        arms: equal bins of difficulty.
        rate: how fast old progress is forgotten.
        explore: share of the examples that is drawn from all bins alike.
    """

    adaptive = True

    name: Literal["bandit"] = "bandit"
    arms: int = Field(default=5, ge=2, le=100)
    explore: float = Field(default=0.3, gt=0.0, le=1.0)
    rate: float = Field(default=0.3, gt=0.0, le=1.0)

    @property
    def bins(self) -> int:
        return self.arms

    def begin(self) -> ScheduleState:
        return {"accuracy": [None] * self.arms, "gain": [0.0] * self.arms}

    def observe(
        self, state: ScheduleState, feedback: Feedback, progress: float, full: Any = None
    ) -> ScheduleState:
        accuracy, gain = list(state["accuracy"]), list(state["gain"])
        for arm, (count, share) in enumerate(feedback.by_difficulty):
            if not count:
                continue  # nothing of this bin halted: what is known stays
            before = accuracy[arm]
            if before is not None:
                gain[arm] += self.rate * (share - before - gain[arm])
            accuracy[arm] = share
        return {"accuracy": accuracy, "gain": gain}

    def at(self, progress: float, state: ScheduleState) -> tuple[Slice, ...]:
        gains = [abs(gain) for gain in state["gain"]]
        total, alike = sum(gains), 1.0 / self.arms
        shares = [gain / total if total > 0.0 else alike for gain in gains]
        return _bins([self.explore * alike + (1.0 - self.explore) * share for share in shares])


DIFFICULTY_SCHEDULES: dict[str, type[DifficultySchedule]] = {
    "none": AllAlike,
    "window": Window,
    "easy_to_hard": EasyToHard,
    "hard_to_easy": HardToEasy,
    "mixture": Mixture,
    "competence": CompetenceDifficulty,
    "bandit": Bandit,
}
AnyDifficulty = SerializeAsAny[Annotated[DifficultySchedule, SectionIn(DIFFICULTY_SCHEDULES)]]


def _window(position: float, width: float) -> tuple[Slice, ...]:
    if width >= 1.0:
        return ()
    low = position * (1.0 - width)
    return (Slice(low, min(low + width, 1.0)),)


def _bins(weights: list[float]) -> tuple[Slice, ...]:
    count = len(weights)
    if not sum(weights) > 0.0 or count == 1:
        return ()
    return tuple(
        Slice(index / count, (index + 1) / count, weight) for index, weight in enumerate(weights)
    )
