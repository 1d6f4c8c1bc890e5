"""Quasi-random draws: scipy's points, one dimension a parameter, through the priors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import qmc

from search.samplers.history import History
from search.samplers.qmc import QmcConfig, sobol_draw
from search.space.space import Space
from search.testing.samplers import SPACES

SQUARE = Space.parse(
    {"a": {"uniform": [0, 1]}, "b": {"loguniform": [1e-4, 1.0]}, "one": {"int": [3, 3]}}
)


@pytest.mark.parametrize("seed", [0, 5])
def test_candidate_n_is_scipys_point_n(seed: int) -> None:
    points = qmc.Sobol(2, scramble=True, seed=np.random.default_rng(seed)).random(512)
    for number in (0, 1, 255, 256, 511):
        params, _ = sobol_draw(SQUARE, seed, number)
        shares = [SQUARE.parameters[name].position(params[name]) for name in "ab"]  # type: ignore[union-attr]
        assert shares == pytest.approx([*points[number]])


def test_the_number_is_that_of_the_candidate() -> None:
    history = History()
    for number in range(5):
        assert QmcConfig().draw(history, SQUARE, 1, 9) == sobol_draw(SQUARE, 1, number)
        history.begin({"a": 0.5, "b": 0.1, "one": 3})  # first points take places too


def test_draws_cover_evenly() -> None:
    draws = [sobol_draw(SQUARE, 2, number)[0] for number in range(64)]
    cells = {(int(8 * d["a"]), int(-2 * np.log10(d["b"]) - 1e-12)) for d in draws}
    assert len(cells) == 64, "64 Sobol points have one in each cell of 8 x 8"


def test_conditional_parameters_keep_their_dimension() -> None:
    """What is drawn elsewhere does not shift a parameter's points."""
    space = SPACES["conditional"]
    rates: dict[str, list[float]] = {"adamw": [], "muon": []}
    for number in range(64):
        params, _ = sobol_draw(space, 0, number)
        name = f"optimizer[{params['optimizer']}].lr"
        rates[params["optimizer"]].append(space.parameters[name].position(params[name]))  # type: ignore[union-attr]
    assert len(rates["adamw"]) == 32
    for found in rates.values():
        assert np.histogram(found, 4, (0, 1))[0] == pytest.approx(8, abs=4)


def test_priors_shape_the_draws() -> None:
    body = {"low": 0, "high": 1, "default": 0.2, "confidence": 0.8}
    space = Space.parse({"a": {"uniform": body}})
    draws = [sobol_draw(space, 0, number)[0]["a"] for number in range(128)]
    assert np.mean(draws) == pytest.approx(0.2, abs=0.02)
    assert np.std(draws) == pytest.approx(0.1, abs=0.02)
