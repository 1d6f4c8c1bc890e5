"""What of a config a surrogate is shown: its parameters, and products that training depends on.

Of 15 parameters and 120 configs little can be learned unless what is known goes in: at a given
compute a deeper config has fewer steps, and how far weights move and decay depends on learning
rate, decay and steps together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.space.distributions import Choice
from search.space.space import Space


def encoded(space: Space, params: Mapping[str, Any]) -> list[float]:
    """A config's numbers: shares of their ranges, and a 1 for the option that is chosen."""
    assert not any(d.condition for d in space.parameters.values())
    found: list[float] = []
    for name, distribution in space.parameters.items():
        if isinstance(distribution, Choice):
            found += [float(params[name] == option) for option in distribution.options]
        else:
            found.append(distribution.position(params[name]))
    return found


@dataclass(frozen=True)
class Features:
    """From `encoded` configs to a surrogate's inputs.

    Attributes:
        space: of the configs.
        weights: of the linear fit of the logarithm of a run's steps.
        low: [products], least among the recorded configs.
        high: [products], greatest.
    """

    space: Space
    weights: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, space: Space, inputs: np.ndarray, steps: np.ndarray) -> Features:
        """Fitted to recorded configs.

        Args:
            inputs: [configs, inputs], `encoded`.
            steps: [configs], logarithms of the steps of a run.
        """
        weights = np.linalg.lstsq(_depths(space, inputs), steps, rcond=None)[0]
        found = _products(space, inputs, weights)
        return cls(space, weights, found.min(axis=0), found.max(axis=0))

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """[configs, features], of recorded configs between 0 and 1."""
        found = _products(self.space, inputs, self.weights)
        return np.column_stack([inputs, (found - self.low) / (self.high - self.low)])


def _products(space: Space, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    depths = _depths(space, inputs)
    steps = depths @ weights
    rate, decay = (_log(space, inputs, f"optimizer.{name}") for name in ("lr", "weight_decay"))
    return np.column_stack(
        [
            depths[:, 1],
            _log(space, inputs, "model.halt_max_steps"),
            steps,
            steps + rate,
            rate + decay,
            steps + rate + decay,
        ]
    )


def _depths(space: Space, inputs: np.ndarray) -> np.ndarray:
    """What the steps of a given compute depend on: the logarithm of the network's depth, first of
    all, whose effect a curriculum may halve."""
    layers, high = (_log(space, inputs, f"model.{name}") for name in ("L_layers", "H_cycles"))
    low = np.log1p(_value(space, inputs, "model.L_cycles"))
    depth = (layers + high + low)[:, None]
    curriculum = inputs[:, _columns(space)["curriculum"]]
    return np.column_stack([np.ones(len(inputs)), depth, high, low, curriculum, depth * curriculum])


def _log(space: Space, inputs: np.ndarray, name: str) -> np.ndarray:
    return np.asarray(np.log(_value(space, inputs, name)))


def _value(space: Space, inputs: np.ndarray, name: str) -> np.ndarray:
    """The numbers that a parameter's columns stand for."""
    distribution, columns = space.parameters[name], inputs[:, _columns(space)[name]]
    if isinstance(distribution, Choice):
        return np.asarray(columns @ [float(option) for option in distribution.options])
    ends = distribution.low, distribution.high
    places = [distribution.position(end) for end in ends]
    if distribution.log:
        return np.exp(_between(columns[:, 0], places, np.log(ends)))
    return _between(columns[:, 0], places, np.array(ends))


def _between(at: np.ndarray, places: Sequence[float], values: np.ndarray) -> np.ndarray:
    return np.asarray(values[0] + (at - places[0]) / (places[1] - places[0]) * np.diff(values))


def _columns(space: Space) -> dict[str, slice]:
    found, first = {}, 0
    for name, distribution in space.parameters.items():
        width = len(distribution.options) if isinstance(distribution, Choice) else 1
        found[name] = slice(first, first + width)
        first += width
    return found
