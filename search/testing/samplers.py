"""What every sampler promises, as one function for the tests of ours and of others.

>>> from search.samplers.random import RandomConfig
>>> check(RandomConfig())
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from search.objectives.objective import Direction
from search.objectives.outcome import FAILURES
from search.samplers.base import SamplerConfig
from search.samplers.history import History, PastTrial
from search.samplers.soundness import next_draw
from search.space.space import Draw, Params, Space

CONDITIONAL: dict[str, Any] = {
    "optimizer": {
        "choice": [
            {"name": "adamw", "lr": {"loguniform": [1e-5, 1e-1]}},
            {
                "name": "muon",
                "lr": {"loguniform": [1e-4, 1e-2]},
                "nesterov": {"choice": [False, {"label": "yes", "decay": {"uniform": [0, 1]}}]},
            },
        ]
    },
    "model": {"H_cycles": {"int": [1, 4]}, "width": {"int": {"low": 8, "high": 64, "step": 8}}},
    "train": {"ema": {"choice": [None, 0.9, 0.99]}, "batch": {"logint": [8, 256]}},
    "loss": {"weight": {"uniform": {"low": 0, "high": 1, "step": 0.1}}},
    "one": {"int": [3, 3]},
    "only": {"choice": [{"name": "a", "x": {"uniform": [0, 1]}}]},
}
NUMERIC: dict[str, Any] = {
    "lr": {"loguniform": {"low": 1e-5, "high": 1e-1, "default": 1e-3, "confidence": 0.5}},
    "wd": {"uniform": [0, 1]},
    "depth": {"int": [1, 9]},
    "rank": {"logint": [1, 64]},
    "share": {"uniform": {"low": 0, "high": 1, "step": 0.05}},
}
SPACES = {"conditional": Space.parse(CONDITIONAL), "numeric": Space.parse(NUMERIC)}

_ENDS = ("completed", "completed", "completed", "pruned", "failed", "infeasible", "stopped", None)


def check(
    config: SamplerConfig,
    seed: int = 0,
    space: Space = SPACES["conditional"],
    directions: Sequence[Direction] = ("maximize",),
    candidates: int = 20,
    warm: int = 0,
) -> None:
    """Play a sweep whose candidates end in every way, some late and some never.

    Args:
        seed: of the sweep, and of how candidates end.
        warm: records of other runs.

    Raises:
        AssertionError: the sampler breaks a promise.
        UserError: it proposes what is no candidate of the space, as in a sweep.
    """
    rng = random.Random(f"{seed}/{config.name}")
    history = History(directions, _warm(space, directions, warm, rng))
    seen: list[Params] = []
    for number in range(candidates):
        if config.exhausted(history, space):
            break
        before = _global_state()
        params, tree = next_draw(config, history, space, seed, candidates)
        assert _global_state() == before, "the sampler uses or changes a global generator"
        if space.size > candidates:
            assert params not in seen, f"candidate {number} was drawn before: {params}"
        _check_purity(config, history, space, (params, tree), seed, candidates, rng)
        seen.append(params)
        assert history.begin(params) == number
        for record in [*map(history.records.__getitem__, history.running)]:
            # About one in four runs on for a while.
            if rng.random() < 0.75:
                ended = _ended(record, directions, rng)
                if ended is not None:
                    history.end(ended)
    size, different = config.size(space), len({str(params) for params in seen})
    assert size is None or different <= size, f"{different} candidates of {size}"
    fresh = History(directions)
    draws = [config.draw(fresh, space, other, candidates)[0] for other in (seed, seed + 1)]
    assert space.size <= candidates or draws[0] != draws[1], "the sweep's seed does not matter"


def _check_purity(
    config: SamplerConfig,
    history: History,
    space: Space,
    draw: Draw,
    seed: int,
    candidates: int,
    rng: random.Random,
) -> None:
    assert config.draw(history, space, seed, candidates) == draw, "a second look changes the draw"
    records = [*history.records]
    rng.shuffle(records)
    rebuilt = History(history.directions, history.warm, records)
    again = config.draw(rebuilt, space, seed, candidates)
    assert again == draw, "a rebuilt history gives another draw"


def _ended(
    record: PastTrial, directions: Sequence[Direction], rng: random.Random
) -> PastTrial | None:
    """How a made-up candidate ends; None if it goes on."""
    end = rng.choice(_ENDS)
    values = tuple(rng.random() for _ in directions)
    rungs = dict(enumerate((values[0] / 3, values[0] / 2)))
    if end is None:
        return None
    if end == "failed":
        floor = (0.0,) * len(directions)
        return PastTrial(record.number, record.params, rng.choice(FAILURES), floor, {0: 0.0})
    if end == "infeasible":
        return PastTrial(record.number, record.params, "infeasible")
    if end == "stopped":
        rungs = rungs if rng.random() < 0.5 else {}
        return PastTrial(record.number, record.params, "stopped", (), rungs)
    if end == "pruned":
        return PastTrial(record.number, record.params, end, values, rungs, progress=rng.random())
    broken = {"mean_steps <= 6": rng.uniform(-1, 1)}
    return PastTrial(record.number, record.params, end, values, rungs, broken, 1.0)


def _warm(
    space: Space, directions: Sequence[Direction], count: int, rng: random.Random
) -> list[PastTrial]:
    generator = np.random.default_rng(rng.getrandbits(32))
    running = [PastTrial(-1 - index, space.sample(generator)[0]) for index in range(count)]
    ended = (_ended(record, directions, rng) for record in running)
    return [record for record in ended if record is not None]


def _global_state() -> tuple[Any, ...]:
    numpy: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    keys = numpy["state"].pop("key").tobytes()
    return random.getstate(), numpy, keys, torch.random.get_rng_state().numpy().tobytes()
