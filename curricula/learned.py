"""Settings that change over a run by trial and error, and the plain curriculum that they amount to.

A population of runs holds one setting each for a stretch of the run, then the worst take over a
better run and change its setting (search/population.py). The history of settings along a run's
line of ancestors is a curriculum: `as_curriculum` writes it out, and it replays without any
population.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from curricula.stage import Stage

KnobName = Literal[
    "H_cycles",
    "L_cycles",
    "supervision_steps",
    "halt_weight",
    "exploration",
    "learning_rate",
    "latent_noise",
    "difficulty_position",
    "difficulty_width",
]
Settings = Mapping[str, float]
"""A value for each knob that is learned."""

SettingsHistory = Sequence[tuple[float, Settings]]
"""Shares of the run from which settings hold, rising from 0."""

FACTOR = 1.25
"""A perturbed value is this many times larger or smaller, as in population based training."""


@dataclass(frozen=True)
class Knob:
    """One value that is learned: bounds of its draws, its value where nothing is learned, scale."""

    low: float
    high: float
    plain: float
    scale: Literal["int", "log", "linear"]

    def draw(self, random: Random) -> float:
        """An independent value, uniform on the knob's scale."""
        if self.scale == "int":
            return random.randint(int(self.low), int(self.high))
        if self.scale == "log":
            return self._within(math.exp(random.uniform(math.log(self.low), math.log(self.high))))
        return random.uniform(self.low, self.high)

    def perturb(self, value: float, random: Random) -> float:
        """A neighbour: one more or less, a factor of 1.25, or a fifth of the range."""
        up = random.random() < 0.5
        if self.scale == "int":
            return self._within(int(value) + (1 if up else -1))
        if self.scale == "log":
            return self._within(value * FACTOR if up else value / FACTOR)
        step = (self.high - self.low) / 5
        return self._within(value + (step if up else -step))

    def _within(self, value: float) -> float:
        return type(value)(min(max(value, self.low), self.high))


def knobs_of(full: Stage) -> dict[KnobName, Knob]:
    """Every knob that can be learned, for a run with these values.

    Depth and supervision steps stay at or below the model's own. Halting weight, exploration and
    learning rate are factors on the config's values, as in `Curriculum`.
    """
    return {
        "H_cycles": Knob(1, full.H_cycles, full.H_cycles, "int"),
        "L_cycles": Knob(1, full.L_cycles, full.L_cycles, "int"),
        "supervision_steps": Knob(1, full.supervision_steps, full.supervision_steps, "int"),
        "halt_weight": Knob(0.1, 4.0, 1.0, "log"),
        "exploration": Knob(0.0, 2.0, 1.0, "linear"),
        "learning_rate": Knob(0.1, 3.0, 1.0, "log"),
        "latent_noise": Knob(1e-3, 1e-1, 0.0, "log"),
        "difficulty_position": Knob(0.0, 1.0, 0.5, "linear"),
        "difficulty_width": Knob(0.1, 1.0, 1.0, "log"),
    }


def plain_settings(knobs: Mapping[KnobName, Knob]) -> dict[str, float]:
    """Every knob as it is where nothing is learned."""
    return {name: knob.plain for name, knob in knobs.items()}


def draw_settings(knobs: Mapping[KnobName, Knob], random: Random) -> dict[str, float]:
    """Every knob drawn anew."""
    return {name: knob.draw(random) for name, knob in knobs.items()}


def explore(
    settings: Settings, knobs: Mapping[KnobName, Knob], random: Random, resample: float
) -> dict[str, float]:
    """Settings with each knob perturbed, or drawn anew with probability `resample`."""
    return {
        name: knob.draw(random)
        if random.random() < resample
        else knob.perturb(settings[name], random)
        for name, knob in knobs.items()
    }


def as_curriculum(history: SettingsHistory) -> dict[str, Any]:
    """The parts of a curriculum section that say the same as a history of settings.

    >>> history = [(0.0, {"H_cycles": 1}), (0.5, {"H_cycles": 1}), (0.7, {"H_cycles": 2})]
    >>> parts = as_curriculum(history)
    >>> parts["depth"]["stages"]
    [{'at': 0.0, 'H_cycles': 1}, {'at': 0.7, 'H_cycles': 2}]
    """
    learned = set(history[0][1])
    parts: dict[str, Any] = {}
    if depths := [name for name in ("H_cycles", "L_cycles") if name in learned]:
        parts["depth"] = _stages(history, lambda s: {name: s[name] for name in depths})
    if "supervision_steps" in learned:
        parts["supervision"] = _stages(history, lambda s: {"steps": s["supervision_steps"]})
    for name in ("halt_weight", "exploration", "learning_rate", "latent_noise"):
        if name in learned:
            parts[name] = _piecewise(history, name)
    if "difficulty_width" in learned:
        parts["difficulty"] = {
            "name": "window",
            "position": _piecewise(history, "difficulty_position", 0.5),
            "width": _piecewise(history, "difficulty_width"),
        }
    return parts


def _stages(
    history: SettingsHistory, values: Callable[[Settings], dict[str, Any]]
) -> dict[str, Any]:
    return {
        "name": "stages",
        "stages": [{"at": at, **held} for at, held in _changes(history, values)],
    }


def _piecewise(history: SettingsHistory, name: str, otherwise: float = 1.0) -> dict[str, Any]:
    changes = _changes(history, lambda settings: float(settings.get(name, otherwise)))
    return {
        "name": "piecewise",
        "milestones": [{"at": at, "value": value} for at, value in changes],
    }


def _changes(
    history: SettingsHistory, values: Callable[[Settings], Any]
) -> list[tuple[float, Any]]:
    """Where a value becomes another, the start included."""
    changes: list[tuple[float, Any]] = []
    for at, settings in history:
        value = values(settings)
        if not changes or changes[-1][1] != value:
            changes.append((at, value))
    return changes
