"""Curves from progress to a number: the shape of every schedule.

A ramp stays at `start` for a warm-up, moves to `end`, and holds it. Each of its families is
monotone between its ends, and reaches both exactly.

>>> CURVES["linear"](start=0.0, end=1.0).at(0.25)
0.25
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator

from curricula.component import Component, SectionIn
from curricula.schedule import ROUNDING, Schedule, in_force, require_starts, starts_of


class Curve(Schedule):
    """A number for any progress in [0, 1], the share of the compute budget that is spent.

    >>> [Linear(start=4.0, end=2.0).at(progress) for progress in (0.0, 0.5, 1.0)]
    [4.0, 3.0, 2.0]
    """

    name: str
    monotone: ClassVar[bool] = False
    """Whether every curve of this family only rises or only falls."""

    def at(self, progress: float) -> float:
        """The value at `progress`."""
        raise NotImplementedError(self.name)

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value."""
        raise NotImplementedError(self.name)


class Constant(Curve):
    """The same value all the time.

    Attributes:
        value: the value.
    """

    name: Literal["constant"] = "constant"
    value: float = Field(default=1.0, allow_inf_nan=False)
    monotone = True

    def at(self, progress: float) -> float:
        return self.value

    @property
    def bounds(self) -> tuple[float, float]:
        return self.value, self.value


class Ramp(Curve):
    """From `start` to `end`.

    Attributes:
        start: the value during the warm-up.
        end: the value during the hold.
        warmup: share of the run that is spent at `start`.
        hold: share of what comes after the warm-up that is spent at `end`. Any pair of shares
            makes a ramp, so both can be searched freely.
    """

    start: float = Field(default=0.0, allow_inf_nan=False)
    end: float = Field(default=1.0, allow_inf_nan=False)
    warmup: float = Field(default=0.0, ge=0.0, lt=1.0)
    hold: float = Field(default=0.0, ge=0.0, lt=1.0)
    monotone = True

    def at(self, progress: float) -> float:
        moving = (1.0 - self.warmup) * (1.0 - self.hold)
        moved = progress - self.warmup
        if moved <= 0.0:
            return self.start
        if moved >= moving - ROUNDING:
            return self.end
        low, high = self.bounds
        return min(max(self.between(moved / moving), low), high)

    def between(self, x: float) -> float:
        """The value at a share `x` in (0, 1) of the way."""
        return self.start + (self.end - self.start) * self.shape(x)

    def shape(self, x: float) -> float:
        """How much of the change is done, from 0 at x = 0 to 1 at x = 1, never falling."""
        raise NotImplementedError(self.name)

    @property
    def bounds(self) -> tuple[float, float]:
        return min(self.start, self.end), max(self.start, self.end)


class Linear(Ramp):
    """Equal change for equal compute."""

    name: Literal["linear"] = "linear"

    def shape(self, x: float) -> float:
        return x


class Cosine(Ramp):
    """Half a cosine wave: (1 - cos(pi x)) / 2, slow at both ends."""

    name: Literal["cosine"] = "cosine"

    def shape(self, x: float) -> float:
        return 0.5 * (1.0 - math.cos(math.pi * x))


class Exponential(Ramp):
    """(exp(rate x) - 1) / (exp(rate) - 1): late for a positive rate, early for a negative one.

    With rate = ln(end / start) it is the geometric curve start * (end / start)^x.

    Attributes:
        rate: how bent: positive changes late, negative early.
    """

    name: Literal["exponential"] = "exponential"
    rate: float = Field(default=3.0, ge=-50.0, le=50.0)

    def shape(self, x: float) -> float:
        if abs(self.rate) < 1e-6:
            return x
        return math.expm1(self.rate * x) / math.expm1(self.rate)


class Root(Ramp):
    """(x (end^p - start^p) + start^p)^(1/p): as much new at any time as there is room for.

    The root competence function of Platanios et al., "Competence-based Curriculum Learning"
    (arXiv 1903.09848), section 2.2; `power` 2 is their square root.

    Attributes:
        power: p; 2 is the square root.
    """

    name: Literal["root"] = "root"
    start: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    end: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)
    power: float = Field(default=2.0, ge=1.0, le=10.0)

    def between(self, x: float) -> float:
        scale = max(self.start, self.end)
        if scale == 0.0:
            return 0.0
        a, b = (self.start / scale) ** self.power, (self.end / scale) ** self.power
        return float(scale * (x * (b - a) + a) ** (1.0 / self.power))


class Polynomial(Ramp):
    """x^power: late for a power above 1, early below.

    Attributes:
        power: the exponent.
    """

    name: Literal["polynomial"] = "polynomial"
    power: float = Field(default=2.0, gt=0.0, le=20.0)

    def shape(self, x: float) -> float:
        return float(x**self.power)


class Step(Ramp):
    """`levels` equal jumps: each level, the first at `start`, lasts equally long.

    Attributes:
        levels: values, the first and the last included.
    """

    name: Literal["step"] = "step"
    levels: int = Field(default=3, ge=2, le=1000)

    def shape(self, x: float) -> float:
        return min(math.floor(x * self.levels + ROUNDING), self.levels - 1) / (self.levels - 1)


class Milestone(Component):
    """A value from a share of the run on.

    Attributes:
        at: share of the run at which the value is taken.
        value: the value.
        label: a name for people and pictures.
    """

    at: float = Field(ge=0.0, lt=1.0)
    value: float = Field(allow_inf_nan=False)
    label: str = ""


class Piecewise(Curve):
    """Named milestones; `interpolate` holds each value or moves in a line to the next.

    Attributes:
        milestones: values, each from its share of the run on.
        interpolate: `hold` each value until the next, or move to it in a line.
    """

    name: Literal["piecewise"] = "piecewise"
    milestones: list[Milestone] = Field(min_length=1)
    interpolate: Literal["hold", "linear"] = "hold"

    @field_validator("milestones")
    @classmethod
    def _in_order(cls, milestones: list[Milestone]) -> list[Milestone]:
        require_starts("milestone", [milestone.at for milestone in milestones])
        return milestones

    def at(self, progress: float) -> float:
        return _on(
            [m.at for m in self.milestones], [m.value for m in self.milestones],
            self.interpolate, progress,
        )  # fmt: skip

    @property
    def bounds(self) -> tuple[float, float]:
        values = [milestone.value for milestone in self.milestones]
        return min(values), max(values)


class ValueSegment(Component):
    """A value for a share of the run.

    Attributes:
        length: its length, relative to the sum of all of them.
        value: the value.
        label: a name for people and pictures.
    """

    length: float = Field(default=1.0, gt=0.0, le=1e6)
    value: float = Field(allow_inf_nan=False)
    label: str = ""


class Segments(Curve):
    """The same with relative lengths: in order by construction, so that lengths can be searched.

    Attributes:
        segments: values, one after another.
        interpolate: `hold` each value until the next, or move to it in a line.
    """

    name: Literal["segments"] = "segments"
    segments: list[ValueSegment] = Field(min_length=1)
    interpolate: Literal["hold", "linear"] = "hold"

    def at(self, progress: float) -> float:
        starts = starts_of([segment.length for segment in self.segments])
        return _on(starts, [segment.value for segment in self.segments], self.interpolate, progress)

    @property
    def bounds(self) -> tuple[float, float]:
        values = [segment.value for segment in self.segments]
        return min(values), max(values)


def _on(starts: list[float], values: list[float], interpolate: str, progress: float) -> float:
    index = in_force(starts, progress)
    if interpolate == "hold" or index + 1 == len(values):
        return values[index]
    x = (progress - starts[index]) / (starts[index + 1] - starts[index])
    before, after = values[index], values[index + 1]
    value = before + min(max(x, 0.0), 1.0) * (after - before)
    return min(max(value, min(before, after)), max(before, after))


CURVES: dict[str, type[Curve]] = {
    "constant": Constant,
    "linear": Linear,
    "cosine": Cosine,
    "exponential": Exponential,
    "root": Root,
    "polynomial": Polynomial,
    "step": Step,
    "piecewise": Piecewise,
    "segments": Segments,
}
"""Every curve by name; a number in a config stands for a constant."""


def _lone_number(section: object) -> object:
    if isinstance(section, int | float) and not isinstance(section, bool):
        return {"name": "constant", "value": section}
    return section


AnyCurve = SerializeAsAny[
    Annotated[
        Curve,
        SectionIn(CURVES),
        BeforeValidator(_lone_number, json_schema_input_type=Curve | float),
    ]
]
"""A field that takes any curve of the registry."""


def require_within(curve: Curve, low: float, high: float = math.inf, what: str = "") -> None:
    """
    Raises:
        ValueError: the curve takes values outside [low, high]; the message begins with `what`.
    """
    least, most = curve.bounds
    if least < low or most > high:
        limits = f"at least {low:g}" if high == math.inf else f"within [{low:g}, {high:g}]"
        where = f"{what}: " if what else ""
        values = f"{least:g}" if least == most else f"values from {least:g} to {most:g}"
        raise ValueError(f"{where}{values} must be {limits}")
