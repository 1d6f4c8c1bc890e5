"""Grids: every point once, whatever came first."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest

from search.samplers.grid import GridConfig, grid_values
from search.samplers.history import History
from search.space.distributions import Range
from search.space.space import Space
from trm.errors import UserError

TREE: dict[str, Any] = {
    "optimizer": {
        "choice": [
            {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-2]}},
            {"name": "muon", "lr": {"loguniform": [1e-3, 1e-1]},
             "inner": {"choice": ["plain", {"label": "fancy", "k": {"int": [2, 4]}}]}},
        ]
    },
    "depth": [{"at": {"uniform": [0, 1]}}, {"at": 0.9}],
    "ema": {"choice": [None, 0.9]},
}  # fmt: skip
SPACE = Space.parse(TREE)


def draw_all(config: GridConfig, space: Space, history: History, seed: int = 0) -> list[Any]:
    found = []
    while not config.exhausted(history, space):
        params, tree = config.draw(history, space, seed, 10)
        assert space.apply(params) == tree
        history.begin(params)
        found.append(params)
    return found


def test_a_grid_is_the_product_of_its_values_within_each_branch() -> None:
    lr = {"adamw": [1e-4, 1e-3, 1e-2], "muon": [1e-3, 1e-2, 1e-1]}
    expected = []
    for at, ema in itertools.product([0.0, 0.5, 1.0], ["null", "0.9"]):
        shared = {"depth[0].at": at, "ema": ema}
        for rate in lr["adamw"]:
            expected.append({**shared, "optimizer": "adamw", "optimizer[adamw].lr": rate})
        for rate in lr["muon"]:
            base = {**shared, "optimizer": "muon", "optimizer[muon].lr": rate}
            expected.append({**base, "optimizer[muon].inner": "plain"})
            for k in (2, 3, 4):
                expected.append({**base, "optimizer[muon].inner": "fancy",
                                 "optimizer[muon].inner[fancy].k": k})  # fmt: skip
    config = GridConfig()
    found = draw_all(config, SPACE, History())
    assert len(found) == config.size(SPACE) == len(expected)

    def key(params: dict[str, Any]) -> Any:
        rounded = {k: round(v, 9) if isinstance(v, float) else v for k, v in params.items()}
        return sorted(rounded.items())

    assert sorted(map(key, found)) == sorted(map(key, expected))
    assert {type(params["depth[0].at"]) for params in found} == {float}


def test_first_points_are_drawn_once_on_the_grid_or_off_it() -> None:
    config, history = GridConfig(), History()
    whole = draw_all(config, SPACE, History())
    history.begin(whole[17])
    history.begin(SPACE.sample(np.random.default_rng(0))[0])
    rest = draw_all(config, SPACE, history)
    assert len(rest) == len(whole) - 1
    assert whole[17] not in rest
    assert rest == [params for params in whole if params != whole[17]]


def test_a_part_of_the_grid_covers_it() -> None:
    space = Space.parse({"a": {"uniform": [0, 1]}, "b": {"uniform": [0, 1]}})
    some = draw_all(GridConfig(points=10), space, History(), seed=1)[:30]
    for name in "ab":
        assert np.mean([params[name] for params in some]) == pytest.approx(0.5, abs=0.15)
        assert len({params[name] for params in some}) > 7


def test_the_order_is_the_seeds() -> None:
    orders = [draw_all(GridConfig(), SPACE, History(), seed) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    shuffled = random.Random(0).sample(orders[0], len(orders[0]))
    assert sorted(map(str, shuffled)) == sorted(map(str, orders[2]))


@pytest.mark.parametrize(
    ("found", "points", "values"),
    [
        (Range("x", (), "uniform", 0.0, 1.0), 3, (0.0, 0.5, 1.0)),
        (Range("x", (), "int", 1, 3, step=1), 5, (1, 2, 3)),
        (Range("x", (), "int", 1, 9, step=1), 3, (1, 5, 9)),
        (Range("x", (), "int", 0, 64, step=16), 3, (0, 32, 64)),
        (Range("x", (), "logint", 1, 64, step=1), 3, (1, 8, 64)),
        (Range("x", (), "logint", 1, 4, step=1), 4, (1, 2, 3, 4)),
        (Range("x", (), "uniform", 2.0, 2.0), 3, (2.0,)),
    ],
)
def test_values_of_a_range(found: Range, points: int, values: tuple[float, ...]) -> None:
    assert grid_values(found, points) == pytest.approx(values)
    assert all(map(found.contains, grid_values(found, points)))


def test_a_grid_too_large_to_list_is_refused() -> None:
    space = Space.parse({f"x{i}": {"uniform": [0, 1]} for i in range(9)})
    with pytest.raises(UserError, match="grid of 1,953,125 points") as caught:
        GridConfig(points=5).check(space, 1, 100)
    assert "\n" not in str(caught.value)
    GridConfig(points=3).check(space, 1, 100)
