"""Whether a config recurses, and which of its settings do nothing for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEPTH = "curriculum.depth"
"""The setting that lowers H and L cycles over a training, and those below it."""


def still(config: Mapping[str, Any]) -> str:
    """That a config does not recurse, in words; empty where it does.

    >>> still({"model": {"H_cycles": 1, "L_cycles": 1}})
    'it does not recurse: H_cycles and L_cycles are 1, only its supervision steps repeat'
    >>> still({"model": {"H_cycles": 1, "L_cycles": 3}})
    ''
    """
    if not is_flat(config):
        return ""
    return "it does not recurse: H_cycles and L_cycles are 1, only its supervision steps repeat"


def is_flat(config: Mapping[str, Any]) -> bool:
    """Whether one H cycle of one L cycle is all that a step has."""
    model = config.get("model", {})
    return (model.get("H_cycles"), model.get("L_cycles")) == (1, 1)


def effective(params: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The drawn values that change what a config does: a depth curriculum cannot lower a depth
    of 1.

    >>> effective({"curriculum.depth": "stages", "model.H_cycles": 1, "model.L_cycles": 1},
    ...           {"model": {"H_cycles": 1, "L_cycles": 1}})
    {'model.H_cycles': 1, 'model.L_cycles': 1}
    """
    flat = is_flat(config)
    return {name: value for name, value in params.items() if not (flat and _of_depth(name))}


def effective_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config tree without a depth curriculum that cannot do anything."""
    curriculum = config.get("curriculum")
    if not (is_flat(config) and isinstance(curriculum, Mapping) and DEPTH_KEY in curriculum):
        return dict(config)
    return {**config, "curriculum": {**curriculum, DEPTH_KEY: {"name": "none"}}}


DEPTH_KEY = DEPTH.rpartition(".")[2]


def _of_depth(name: str) -> bool:
    return name == DEPTH or name.startswith((f"{DEPTH}.", f"{DEPTH}["))
