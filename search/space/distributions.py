"""One distribution of the space language: its word, bounds, default and prior.

A distribution with a `confidence` c (0 <= c < 1) has a prior around its default: for a range, a
normal on the range's own scale, centred on the default, with standard deviation (1 - c) / 2 of the
range, cut off at the ends; for a choice of k options, the default has probability c + (1 - c) / k.
Without one, all values are alike. A prior says where to look first; no value is ruled out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trm.errors import UserError

WORDS = ("uniform", "loguniform", "int", "logint", "choice")
LONG_FORM = ("low", "high", "default", "confidence", "step", "options")
GRID_TOLERANCE = 1e-8
"""How far from a multiple of `step`, in steps, a value may lie (Optuna's own tolerance)."""

Condition = tuple[tuple[str, str], ...]
"""The choices, and the option of each, that a parameter needs to exist; outermost first."""


@dataclass(frozen=True)
class Range:
    """A number between `low` and `high`, both included.

    Attributes:
        name: the parameter's path, which is its name.
        condition: what must be drawn for the parameter to exist.
        word: uniform, loguniform, int or logint.
        step: distance between allowed values from `low` on; None if every value is allowed.
        confidence: how narrow the prior around the default is; None if there is no prior.
    """

    name: str
    condition: Condition
    word: str
    low: float
    high: float
    default: float | None = None
    step: float | None = None
    confidence: float | None = None

    @property
    def integer(self) -> bool:
        return self.word in ("int", "logint")

    @property
    def log(self) -> bool:
        return self.word in ("loguniform", "logint")

    @property
    def count(self) -> float:
        """How many values there are; infinite for a continuous range."""
        if self.low == self.high:
            return 1
        if self.step is None:
            return math.inf
        return float(round((self.high - self.low) / self.step) + 1)

    def contains(self, value: Any) -> bool:
        if not is_number(value) or not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        steps = (float(value) - self.low) / self.step
        return abs(steps - round(steps)) < GRID_TOLERANCE

    def cast(self, value: Any) -> Any:
        """The value in the parameter's own type (files may hold 3 as 3.0)."""
        return round(value) if self.integer else float(value)

    def first(self) -> Any:
        """The default if there is one, else the middle: geometric on a log scale.

        Of two allowed values equally near to the middle, the lower one.
        """
        if self.default is not None:
            return self.cast(self.default)
        if self.log:
            middle = math.sqrt(self.low * self.high)
        else:
            middle = self.low + (self.high - self.low) / 2
        return self.snap(middle)

    def sample(self, rng: np.random.Generator) -> Any:
        """An independent draw from the prior; without one, uniform on the range's own scale."""
        return self.quantile(float(rng.random()))

    def quantile(self, share: float) -> Any:
        """The value below which `share` of the prior lies (its inverse distribution function)."""
        if self.confidence is None or self.low == self.high:
            return self.at(share)
        from scipy.special import ndtr, ndtri

        centre, deviation = self.position(self.first()), (1.0 - self.confidence) / 2
        low, high = ndtr(-centre / deviation), ndtr((1.0 - centre) / deviation)
        return self.at(centre + deviation * float(ndtri(low + share * (high - low))))

    def at(self, share: float) -> Any:
        """The allowed value nearest to `share` of the way from low to high, on the own scale.

        Shares of equal length belong to each value of a stepped linear range.
        """
        low, high = self._ends()
        value = low + min(max(share, 0.0), 1.0) * (high - low)
        return self.snap(math.exp(value) if self.log else value)

    def position(self, value: float) -> float:
        """The share of the way from low to high at which a value stands: `at` turned round.

        >>> Range("x", (), "loguniform", 0.25, 4.0).position(1.0)
        0.5
        """
        low, high = self._ends()
        if low == high:
            return 0.5
        return ((math.log(value) if self.log else value) - low) / (high - low)

    def share(self, low: float, high: float) -> float:
        """The share of the range, on the own scale, that the values from low to high have.

        Of a grid, each value has its own part, so that all of them have the whole.

        >>> Range("x", (), "int", 1, 4, step=1).share(2, 3)
        0.5
        """
        margin = (self.step or 0.0) / 2
        return self.position(high + margin) - self.position(low - margin)

    def snap(self, value: float) -> Any:
        """The allowed value nearest to a number; the lower of two."""
        value = min(max(value, self.low), self.high)
        if self.step is not None:
            value = self.low + math.ceil((value - self.low) / self.step - 0.5) * self.step
        return self.cast(min(max(value, self.low), self.high))

    def text(self) -> str:
        plain = self.step is None or (self.integer and self.step == 1)
        step = "" if plain else f" step {self.step}"
        prior = "" if self.confidence is None else f" confidence {self.confidence:g}"
        return f"{self.word} [{self.cast(self.low)}, {self.cast(self.high)}]{step}{prior}"

    def _ends(self) -> tuple[float, float]:
        """Low and high on the own scale."""
        # Half a step on each side gives the end values of a grid the weight of the others.
        margin = (self.step or 0.0) / 2 if self.low < self.high else 0.0
        low, high = self.low - margin, self.high + margin
        return (math.log(low), math.log(high)) if self.log else (low, high)


@dataclass(frozen=True)
class Choice:
    """One of several options, each known by its name.

    Attributes:
        name: the path at which the option stands, which is its name.
        condition: what must be drawn for the choice to exist.
        options: their names.
        default: one of them; None is the first.
        confidence: how much likelier the default is; None is not at all.
    """

    name: str
    condition: Condition
    options: tuple[str, ...]
    default: str | None = None
    confidence: float | None = None

    @property
    def count(self) -> float:
        return len(self.options)

    def contains(self, value: Any) -> bool:
        return value in self.options

    def cast(self, value: Any) -> str:
        return str(value)

    def first(self) -> str:
        """The default if there is one, else the first option."""
        return self.options[0] if self.default is None else self.default

    @property
    def probabilities(self) -> tuple[float, ...]:
        """The prior: a probability for each option."""
        count, confidence = len(self.options), self.confidence or 0.0
        even = (1.0 - confidence) / count
        return tuple(even + confidence * (option == self.first()) for option in self.options)

    def sample(self, rng: np.random.Generator) -> str:
        """An independent draw from the prior; without one, all options alike."""
        return self.quantile(float(rng.random()))

    def quantile(self, share: float) -> str:
        """The option in whose part of the prior a share in [0, 1] falls."""
        for option, probability in zip(self.options, self.probabilities, strict=True):
            share -= probability
            if share < 0:
                return option
        return self.options[-1]

    def at(self, share: float) -> str:
        """The option in whose part a share in [0, 1] falls, all parts alike."""
        return self.options[min(int(share * len(self.options)), len(self.options) - 1)]

    def text(self) -> str:
        prior = "" if self.confidence is None else f" confidence {self.confidence:g}"
        return f"choice of {', '.join(self.options)}{prior}"


Distribution = Range | Choice


def is_distribution(value: Any) -> bool:
    """Whether a config value is a mapping with exactly one key, one of the five words.

    Raises nothing; see `refuse_stray_keys` for near misses.
    """
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in WORDS


def refuse_stray_keys(path: str, value: Mapping[Any, Any]) -> None:
    """Catch `{loguniform: [...], default: 1e-4}`, which would pass as an ordinary mapping.

    Raises:
        UserError: a word stands beside keys that belong inside it.
    """
    words = [key for key in value if key in WORDS]
    if words and len(value) > 1 and all(key in WORDS or key in LONG_FORM for key in value):
        stray = next(key for key in value if key != words[0])
        raise UserError(
            path, stray, f"cannot stand beside `{words[0]}`: move it inside, as in the long form"
        )


def option_name(path: str, value: Any) -> str:
    """The name of an option that is no mapping: a string is its own, the rest is named as JSON.

    >>> option_name("train.ema", None), option_name("train.ema", 0.9), option_name("x", [1, 2])
    ('null', '0.9', '[1,2]')
    """
    is_text = isinstance(value, str)
    name = value if is_text else json.dumps(value, separators=(",", ":"), default=str)
    if not name:
        raise UserError(path, value, "an option needs a name that is not empty")
    return name


def is_number(value: Any) -> bool:
    """A finite number that is no boolean."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, int) or math.isfinite(value)  # of 400 digits there is no float
