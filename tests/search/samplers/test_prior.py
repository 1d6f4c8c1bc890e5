"""Priors in samplers: where draws come from, that a good one helps and a bad one is overcome."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from search.samplers.base import LearningSamplerConfig, SamplerConfig, prior_share
from search.samplers.cmaes import CmaesConfig
from search.samplers.history import History, PastTrial
from search.samplers.nsga2 import Nsga2Config
from search.samplers.random import RandomConfig
from search.samplers.tpe import TpeConfig
from search.space.space import Draw, Space

CENTRE = {"a": 0.8, "b": 0.2, "c": 0.6}


def space(default: float | None, confidence: float = 0.8) -> Space:
    """Three ranges whose default is the optimum, the far end from it, or nowhere."""
    body: dict[str, Any] = {}
    for name, best in CENTRE.items():
        fields = {"low": 0, "high": 1}
        if default is not None:
            far = 0.0 if best > 0.5 else 1.0
            place = best + default * (far - best)
            fields |= {"default": place, "confidence": confidence}
        body[name] = {"uniform": fields}
    return Space.parse(body)


def losses(config: SamplerConfig, where: Space, seed: int, count: int) -> list[float]:
    history = History(["minimize"])
    for number in range(count):
        params, _ = config.draw(history, where, seed, count)
        history.begin(params)
        loss = sum((params[name] - best) ** 2 for name, best in CENTRE.items())
        history.end(PastTrial(number, params, "completed", (loss,)))
    return [record.values[0] for record in history.records]


def median_best(config: SamplerConfig, where: Space, count: int) -> float:
    return float(np.median([min(losses(config, where, seed, count)) for seed in range(5)]))


@pytest.mark.parametrize("config", [TpeConfig(), CmaesConfig(), RandomConfig()], ids=str)
def test_a_good_prior_helps_early(config: SamplerConfig) -> None:
    assert median_best(config, space(0.1), 15) < 0.5 * median_best(config, space(None), 15)


@pytest.mark.parametrize("config", [TpeConfig(), CmaesConfig()], ids=str)
def test_a_bad_prior_is_overcome(config: SamplerConfig) -> None:
    """A model gets from a default at the wrong end to where random draws from it never get."""
    bad = space(1.0)
    count = 90
    found = median_best(config, bad, count)
    assert found < 0.2 * median_best(RandomConfig(), bad, count)
    assert found < median_best(RandomConfig(), space(None), count)


def test_the_share_of_the_prior_falls() -> None:
    shares = [prior_share(number, 200) for number in (1, 40, 100, 200, 400)]
    assert shares == pytest.approx([0.5, 0.5, 0.2, 0.1, 0.05])


class Marked(LearningSamplerConfig):
    """A model whose draws are known by their value."""

    name: str = "marked"

    def model(self, history: History, space: Space, entropy: int) -> Draw:
        return space.draw(lambda *_: 0.123)


@pytest.mark.parametrize(("number", "share"), [(20, 0.5), (100, 0.2), (200, 0.1)])
def test_that_share_of_candidates_comes_from_the_prior(number: int, share: float) -> None:
    history = History()
    for index in range(number):
        history.begin({"x": index / 1000})
        history.end(PastTrial(index, {"x": index / 1000}, "completed", (0.0,)))
    body = {"low": 0, "high": 1, "default": 0.5, "confidence": 0.5}
    where = Space.parse({"x": {"uniform": body}})
    draws = [Marked().propose(history, where, seed, 200)[0]["x"] for seed in range(600)]
    assert np.mean([draw != 0.123 for draw in draws]) == pytest.approx(share, abs=0.06)
    plain = Space.parse({"x": {"uniform": [0, 1]}})
    assert all(Marked().propose(history, plain, s, 200)[0]["x"] == 0.123 for s in range(20))


def test_genetic_draws_start_from_the_prior_and_mutate_with_it() -> None:
    body = {"low": 0, "high": 1, "default": 0.5, "confidence": 0.9}
    where = Space.parse({"x": {"uniform": body}, "y": {"uniform": [0, 1]}})
    config = Nsga2Config(population_size=8, mutation_prob=1.0)
    history = History()
    for number in range(40):
        params, _ = config.draw(history, where, 0, 40)
        history.begin(params)
        history.end(PastTrial(number, params, "completed", (params["y"],)))
    drawn = [record.params["x"] for record in history.records]
    assert np.std(drawn) < 0.1
    assert np.std([record.params["y"] for record in history.records]) > 0.2
