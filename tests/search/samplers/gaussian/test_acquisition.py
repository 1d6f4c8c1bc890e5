from __future__ import annotations

import numpy as np
import pytest
from mpmath import mp  # type: ignore[import-untyped]

from search.samplers.gaussian.acquisition import log_expected_improvement, most_promising
from search.samplers.gaussian.encoding import Encoding
from search.samplers.gaussian.process import GaussianProcess
from search.space.space import Space


@pytest.mark.parametrize("u", [-3000.0, -999.0, -40.0, -5.0, -1.01, -0.99, 0.0, 0.5, 4.0, 30.0])
@pytest.mark.parametrize("deviation", [1e-3, 2.0])
def test_it_is_the_logarithm_of_the_expected_improvement(u: float, deviation: float) -> None:
    mp.dps = 60
    exact = mp.log(deviation * (mp.npdf(u) + u * mp.ncdf(u)))
    one = np.ones(1)
    found = log_expected_improvement(u * deviation * one, deviation * one, 0.0)[0]
    assert found == pytest.approx(float(exact), rel=1e-6, abs=1e-9)


def test_the_best_point_of_a_bowl_is_found() -> None:
    encoding = Encoding(Space.parse({f"x{i}": {"uniform": [0, 1]} for i in range(3)}))
    rng = np.random.default_rng(0)
    rows = encoding.random(rng, 40)
    targets = -np.square(rows - 0.3).sum(axis=1)
    process = GaussianProcess(encoding.points(rows), targets, encoding.owner)
    found, _ = most_promising(process, encoding, rows, rng)
    assert np.abs(found - 0.3).max() < 0.1


def test_what_was_seen_is_not_proposed_again_while_there_is_anything_else() -> None:
    space = Space.parse({"x": {"int": [0, 4]}, "y": {"choice": ["a", "b"]}})
    encoding, rng = Encoding(space), np.random.default_rng(0)
    everything = [{"x": x, "y": y} for x in range(5) for y in "ab"]
    rows = np.stack([encoding.shares(params) for params in everything[:-1]])
    targets = np.array([float(params["x"]) for params in everything[:-1]])
    process = GaussianProcess(encoding.points(rows), targets, encoding.owner)
    found, _ = encoding.draw(most_promising(process, encoding, rows, rng)[0])
    assert found == everything[-1]
