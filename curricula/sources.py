"""From which source the next training examples come, where a task has several.

>>> mixture = SOURCE_SCHEDULES["mixture"](weights={"four": 1.0, "six": 3.0})
>>> mixture.at(0.5, ("four", "six"))
(0.25, 0.75)
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SerializeAsAny, field_validator

from curricula.component import SectionIn, nearest
from curricula.difficulty import HEAVIEST
from curricula.pacing import AnyCurve, Curve, require_within
from curricula.schedule import Schedule


class SourceSchedule(Schedule):
    """The mix of sources over a run; subclasses fix `name`.

    >>> class FirstAlone(SourceSchedule):
    ...     name: Literal["first_alone"] = "first_alone"
    ...
    ...     def at(self, progress, sources):
    ...         return (1.0,) + (0.0,) * (len(sources) - 1)
    >>> FirstAlone().at(0.5, ("four", "six"))
    (1.0, 0.0)
    """

    name: str

    def at(self, progress: float, sources: tuple[str, ...]) -> tuple[float, ...]:
        """Each source's share of the next examples; empty: as the data has it."""
        raise NotImplementedError(self.name)

    def check(self, sources: tuple[str, ...]) -> None:
        """
        Raises:
            ValueError: the schedule names a source that is not there.
        """


class AsTheyCome(SourceSchedule):
    """As many of each source as the data has."""

    name: Literal["none"] = "none"

    def at(self, progress: float, sources: tuple[str, ...]) -> tuple[float, ...]:
        return ()


class SourceMixture(SourceSchedule):
    """A weight for each source by its name, which follows a curve; a source left out has none.

    Attributes:
        weights: a curve for each source, by its name.
    """

    name: Literal["mixture"] = "mixture"
    weights: dict[str, AnyCurve] = Field(min_length=1)

    @field_validator("weights")
    @classmethod
    def _weights(cls, curves: dict[str, Curve]) -> dict[str, Curve]:
        for source, curve in curves.items():
            require_within(curve, 0.0, HEAVIEST, what=source)
        return curves

    def at(self, progress: float, sources: tuple[str, ...]) -> tuple[float, ...]:
        weights = [
            self.weights[source].at(progress) if source in self.weights else 0.0
            for source in sources
        ]
        total = sum(weights)
        return tuple(weight / total for weight in weights) if total > 0.0 else ()

    def check(self, sources: tuple[str, ...]) -> None:
        for source in self.weights:
            if source not in sources:
                known = nearest(source, list(sources)) if sources else "the task has none"
                raise ValueError(f"weights.{source}: no such source: {known}")


SOURCE_SCHEDULES: dict[str, type[SourceSchedule]] = {"none": AsTheyCome, "mixture": SourceMixture}
AnySources = SerializeAsAny[Annotated[SourceSchedule, SectionIn(SOURCE_SCHEDULES)]]
