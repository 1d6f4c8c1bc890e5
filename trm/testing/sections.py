"""What the config of every component promises."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from curricula.component import Component, by_name


def check_section(registry: Mapping[str, type[Any]], config: Component) -> None:
    """A section that is registered under its name, refuses unknown keys and survives YAML.

    Raises:
        AssertionError: it does not.
    """
    name = getattr(config, "name", None)
    kind = type(config)
    assert registry.get(str(name)) is kind, (
        f"{kind.__name__} is not registered: REGISTRY[{name!r}] = {kind.__name__}"
    )
    tree = json.loads(json.dumps(config.model_dump(mode="json")))
    assert by_name(registry, {"name": name, **tree}) == config, f"{tree} gives another {name}"
    try:
        by_name(registry, {"name": name, **tree, "no_such_key": 1})
    except ValueError:
        return
    raise AssertionError(f"{kind.__name__} takes unknown keys: derive it from Component")


@contextmanager
def no_global_randomness() -> Iterator[None]:
    """
    Raises:
        AssertionError: a global generator was used or seeded.
    """
    before = _states()
    yield
    assert _states() == before, (
        "a global random generator was used or seeded: draw from the generator that is given"
    )


def _states() -> str:
    numpy = np.random.get_state()  # noqa: NPY002
    return str((random.getstate(), numpy, torch.random.get_rng_state().tolist()))
