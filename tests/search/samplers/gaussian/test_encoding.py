from __future__ import annotations

import numpy as np
import pytest

from search.samplers.gaussian.encoding import Encoding
from search.space.space import Space

SPACE = Space.parse(
    {
        "optimizer": {
            "choice": [
                {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-2]}},
                {
                    "name": "muon",
                    "lr": {"loguniform": [1e-3, 1.0]},
                    "decay": {
                        "choice": [{"name": "none"}, {"name": "some", "by": {"int": [1, 9]}}]
                    },
                },
            ]
        },
        "depth": {"logint": [1, 16]},
        "width": {"uniform": {"low": 0.0, "high": 1.0, "step": 0.25}},
        "ema": {"choice": [None, 0.9, 0.999]},
    }
)


@pytest.fixture(scope="module")
def encoding() -> Encoding:
    return Encoding(SPACE)


def test_every_draw_of_the_space_comes_back(encoding: Encoding) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        params, tree = SPACE.sample(rng)
        again, same = encoding.draw(encoding.shares(params))
        assert again.keys() == params.keys()
        for name, value in params.items():
            assert again[name] == pytest.approx(value) if isinstance(value, float) else value
        assert same.keys() == tree.keys()


def test_random_and_mutated_rows_are_candidates(encoding: Encoding) -> None:
    rng = np.random.default_rng(1)
    rows = encoding.random(rng, 100)
    for _ in range(3):
        rows = encoding.mutated(rng, rows, 0.1)
        assert ((rows >= 0) & (rows[:, :] <= 2)).all()
        for row in rows:
            params, _ = encoding.draw(row)
            for name, value in params.items():
                assert SPACE.parameters[name].contains(value), (name, value)
            back = encoding.shares(params)
            here = encoding.active(row[None])[0]
            assert np.allclose(back[here], row[here]), "a row stands for the values it is seen by"


def test_a_mutation_changes_something_and_not_everything(encoding: Encoding) -> None:
    rng = np.random.default_rng(2)
    rows = encoding.random(rng, 500)
    changed = (encoding.mutated(rng, rows, 0.3) != rows).sum(axis=1)
    assert changed.mean() < len(encoding.parameters) / 2
    assert (changed > 0).mean() > 0.5


def test_distance_is_difference(encoding: Encoding) -> None:
    def point(**params: object) -> np.ndarray:
        return encoding.points(encoding.shares(params)[None])[0]

    base = {"optimizer": "adamw", "optimizer[adamw].lr": 1e-3, "depth": 4, "width": 0.5}
    one, other = point(**base, ema="0.9"), point(**base, ema="0.999")
    assert np.square(one - other).sum() == pytest.approx(1.0)
    wide = point(**{**base, "width": 1.0}, ema="0.9")
    assert 0.3 < np.abs(one - wide).max() < 0.5
    # What only the other option has does not count.
    assert np.array_equal(one, point(**base, ema="0.9", **{"optimizer[muon].lr": 0.5}))
    nested = {"optimizer": "muon", "optimizer[muon].lr": 0.1, "depth": 4, "width": 0.5}
    none = point(**nested, ema="0.9", **{"optimizer[muon].decay": "none"})
    some = {"optimizer[muon].decay": "some", "optimizer[muon].decay[some].by": 9}
    assert np.square(none - point(**nested, ema="0.9", **some)).sum() > 1.0


def test_parameters_of_one_value_are_left_out() -> None:
    space = Space.parse({"x": {"uniform": [0, 1]}, "y": {"int": [3, 3]}})
    encoding = Encoding(space)
    assert [found.name for found in encoding.parameters] == ["x"]
    assert encoding.draw(np.array([0.25]))[0] == {"x": 0.25, "y": 3}
