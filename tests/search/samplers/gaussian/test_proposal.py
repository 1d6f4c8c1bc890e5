"""Draws of the sampler `gp` of one objective: sweeps of a known function."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from search.samplers.gp import GpConfig
from search.samplers.history import History, PastTrial
from search.space.space import Space

SPACE = Space.parse(
    {
        "optimizer": {
            "choice": [
                {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-2]}},
                {"name": "muon", "lr": {"loguniform": [1e-3, 1.0]}},
            ]
        },
        "depth": {"int": [1, 8]},
    }
)


def merit(params: dict[str, Any], rng: np.random.Generator) -> float:
    name = params["optimizer"]
    lr = SPACE.parameters[f"optimizer[{name}].lr"].position(params[f"optimizer[{name}].lr"])
    good = 1.0 - 2 * (lr - 0.6) ** 2 - 0.05 * abs(params["depth"] - 6) - 0.2 * (name == "adamw")
    return float(good + 0.02 * rng.standard_normal())


def sweep(draws: int, seed: int, history: History | None = None) -> History:
    history, rng = history or History(), np.random.default_rng(seed)
    for _ in range(draws):
        params, tree = GpConfig().draw(history, SPACE, seed, 40)
        assert SPACE.apply(params) == tree
        number = history.begin(params)
        history.end(PastTrial(number, params, "completed", (merit(params, rng),)))
    return history


def test_it_finds_the_option_and_its_values() -> None:
    for seed in range(3):
        late = sweep(40, seed).records[-10:]
        assert sum(r.params["optimizer"] == "muon" for r in late) >= 7
        best = max(late, key=lambda r: r.values[0])
        assert abs(best.params["depth"] - 6) <= 1
        assert best.values[0] > 0.9


def test_a_draw_depends_on_the_records_alone() -> None:
    history = sweep(25, 3)
    again = History(records=history.records)
    assert GpConfig().draw(history, SPACE, 3, 40) == GpConfig().draw(again, SPACE, 3, 40)


def test_draws_beside_running_candidates_spread_out() -> None:
    history = sweep(20, 1)
    drawn = []
    for _ in range(6):
        params, _ = GpConfig().draw(history, SPACE, 1, 40)
        history.begin(params)
        drawn.append(str(params))
    assert len(set(drawn)) == 6


def test_failures_and_pruned_candidates_push_away() -> None:
    history, rng = History(), np.random.default_rng(0)
    for _ in range(30):
        params, _ = GpConfig().draw(history, SPACE, 0, 40)
        number = history.begin(params)
        if params["optimizer"] == "muon":
            history.end(PastTrial(number, params, "diverged", (0.0,)))
        else:
            history.end(PastTrial(number, params, "completed", (merit(params, rng),)))
    late = history.records[-10:]
    assert sum(record.params["optimizer"] == "adamw" for record in late) >= 8


def test_random_numbers_of_others_are_left_alone() -> None:
    history = sweep(12, 2)
    np.random.seed(5)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # type: ignore[index,union-attr]  # noqa: NPY002
    GpConfig().draw(history, SPACE, 2, 40)
    assert (np.random.get_state()[1] == state).all()  # type: ignore[index]  # noqa: NPY002


@pytest.mark.parametrize("most", [50, None])
def test_it_draws_where_it_sees_a_part_of_many(most: int | None) -> None:
    history, rng = History(), np.random.default_rng(0)
    for _ in range(120):
        params, _ = SPACE.sample(rng)
        number = history.begin(params)
        history.end(PastTrial(number, params, "completed", (merit(params, rng),)))
    params, _ = GpConfig(max_observations=most).draw(history, SPACE, 0, 400)
    assert params["optimizer"] == "muon"
