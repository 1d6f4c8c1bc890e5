"""CMA-ES: the package's own course, replayed by number; injected points; restarts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from cmaes import CMA, CMAwM

from search.samplers.base import draw_seed
from search.samplers.cmaes import CmaesConfig
from search.samplers.history import History, PastTrial
from search.samplers.random import RandomConfig
from search.space.distributions import Range
from search.space.space import Space
from trm.errors import UserError

PLAIN = Space.parse({"a": {"uniform": [0, 1]}, "b": {"uniform": [0, 1]}, "c": {"uniform": [0, 1]}})
MIXED = Space.parse(
    {
        "lr": {"loguniform": [1e-5, 1e-1]},
        "depth": {"int": [1, 9]},
        "rank": {"logint": [1, 64]},
        "mode": {"choice": ["x", {"label": "y", "k": {"uniform": [0, 1]}}]},
    }
)
SEED = 3


def bowl(params: dict[str, Any]) -> float:
    return sum((i + 1) * (params[name] - 0.3 * i) ** 2 for i, name in enumerate("abc"))


def mixed_loss(params: dict[str, Any]) -> float:
    return (
        abs(math.log10(params["lr"]) + 3)
        + 0.3 * abs(params["depth"] - 7)
        + abs(math.log2(params["rank"]) - 4)
        + 0.2 * (params["mode"] == "x")
    )


def play(config: Any, space: Space, loss: Any, count: int, history: History | None = None) -> Any:
    history = history or History(["minimize"])
    for _ in range(count):
        params, _ = config.draw(history, space, SEED, count)
        number = history.begin(params)
        history.end(PastTrial(number, params, "completed", (loss(params),)))
    return history


def test_it_takes_the_course_of_the_package() -> None:
    """Continuous parameters, serial, no priors: plain CMA-ES with our seeds and ranks."""
    history = play(CmaesConfig(population_size=6), PLAIN, bowl, 60)
    bounds = np.tile([0.0, 1.0], (3, 1))
    plain = CMA(np.full(3, 0.5), 0.25, bounds=bounds, population_size=6)
    for generation in range(10):
        solutions = []
        for index in range(6):
            number = generation * 6 + index
            plain.reseed_rng(draw_seed(SEED, number))
            point = plain.ask()
            assert [*history.records[number].params.values()] == pytest.approx([*point])
            solutions.append((point, bowl(dict(zip("abc", point, strict=True)))))
        plain.tell(solutions)
    assert min(record.values[0] for record in history.records) < 0.05


def test_stepped_parameters_have_a_margin() -> None:
    """The course of the package's CMA-ES with margin, on cells of equal width."""
    space = Space.parse({"a": {"uniform": [0, 1]}, "n": {"int": [1, 5]}})
    history = play(CmaesConfig(population_size=5), space, lambda p: p["a"] + abs(p["n"] - 4), 30)
    bounds, steps = np.array([[0.0, 1.0], [0.1, 0.9]]), np.array([0.0, 0.2])
    plain = CMAwM(np.full(2, 0.5), 0.25, bounds, steps, population_size=5)
    for generation in range(6):
        solutions = []
        for index in range(5):
            number = generation * 5 + index
            params = history.records[number].params
            for attempt in range(2):
                plain.reseed_rng(draw_seed(SEED, number, attempt))
                encoded, point = plain.ask()
                n = round((encoded[1] + 0.1) / 0.2)
                if params == {"a": pytest.approx(encoded[0]), "n": n}:
                    break
            else:
                pytest.fail(f"candidate {number} is not the package's")
            solutions.append((point, encoded[0] + abs(n - 4)))
        plain.tell(solutions)


def test_it_beats_random_on_a_mixed_space() -> None:
    best = {
        config.name: min(
            record.values[0] for record in play(config, MIXED, mixed_loss, 120).records
        )
        for config in (CmaesConfig(), RandomConfig())
    }
    assert best["cmaes"] < 0.5 * best["random"]


def test_a_generation_waits_for_its_last_member_and_goes_on_meanwhile() -> None:
    config = CmaesConfig(population_size=4)
    history = History(["minimize"])

    def begin() -> dict[str, Any]:
        params, _ = config.draw(history, PLAIN, SEED, 99)
        history.begin(params)
        return params

    members = [begin() for _ in range(6)]
    for number in (3, 1, 0):
        history.end(PastTrial(number, members[number], "completed", (bowl(members[number]),)))
    before = config.draw(history, PLAIN, SEED, 99)
    history.end(PastTrial(5, members[5], "completed", (0.0,)))
    assert config.draw(history, PLAIN, SEED, 99) == before
    history.end(PastTrial(2, members[2], "crashed", (9.0,)))
    assert config.draw(history, PLAIN, SEED, 99) != before


def test_a_far_first_point_helps_and_does_no_harm() -> None:
    """A good first point is learned from; the step that it stands for is bounded."""
    good = {"a": 0.0, "b": 0.3, "c": 0.6}
    bad = {"a": 1.0, "b": 1.0, "c": 1.0}
    best = {}
    for name, first in (("none", None), ("good", good), ("bad", bad)):
        history = History(["minimize"])
        if first is not None:
            history.begin(first)
            history.end(PastTrial(0, first, "completed", (bowl(first) + 1e-3,)))
        play(CmaesConfig(), PLAIN, bowl, 150, history)
        best[name] = np.mean([record.values[0] for record in history.records[-20:]])
    assert best["good"] < 0.02
    assert best["bad"] < 0.02
    assert best["none"] < 0.02


def test_a_collapsed_distribution_is_followed_by_a_larger_one() -> None:
    space = Space.parse({"x": {"uniform": [0, 1]}})
    history = play(CmaesConfig(population_size=4), space, lambda p: abs(p["x"] - 0.3), 300)
    found = np.array([record.params["x"] for record in history.records])
    assert np.std(found[40:60]) < 0.02, "it converges"
    assert max(np.std(found[at : at + 8]) for at in range(60, 290)) > 0.1, "and begins anew"


def test_it_starts_from_the_priors() -> None:
    body = {"low": 0, "high": 1, "default": 0.2, "confidence": 0.9}
    space = Space.parse({"a": {"uniform": body}, "b": {"uniform": [0, 1]}})
    config = CmaesConfig(population_size=50)
    history = play(config, space, lambda p: p["a"], 50)
    drawn = np.array([[r.params["a"], r.params["b"]] for r in history.records])
    assert drawn[:, 0].mean() == pytest.approx(0.2, abs=0.03)
    assert drawn[:, 0].std() == pytest.approx(0.05, abs=0.02)
    assert drawn[:, 1].std() > 0.15


def test_it_starts_from_the_best_of_a_warm_start() -> None:
    rng = np.random.default_rng(0)
    draws = [PLAIN.sample(rng)[0] for _ in range(200)]
    warm = [PastTrial(-1 - i, p, "completed", (bowl(p),)) for i, p in enumerate(draws)]
    history = play(CmaesConfig(), PLAIN, bowl, 7, History(["minimize"], warm))
    cold = play(CmaesConfig(), PLAIN, bowl, 7)
    warmed, unwarmed = (
        np.mean([record.values[0] for record in each.records]) for each in (history, cold)
    )
    assert warmed < 0.6 * unwarmed


@pytest.mark.parametrize(
    ("tree", "objectives", "trials", "word"),
    [
        ({"x": {"uniform": [0, 1]}}, 2, 100, "takes one objective"),
        ({"x": {"choice": [1, 2]}}, 1, 100, "needs a numeric parameter"),
        ({"o": {"choice": [{"name": "a", "x": {"int": [1, 2]}}, 2]}}, 1, 100, "numeric parameter"),
        ({"x": {"int": [3, 3]}, "c": {"choice": [1, 2]}}, 1, 100, "numeric parameter"),
        ({"x": {"uniform": [0, 1]}}, 1, 5, "more than the 5 candidates"),
    ],
)
def test_nonsense_is_refused(tree: dict[str, Any], objectives: int, trials: int, word: str) -> None:
    config = CmaesConfig(population_size=6)
    with pytest.raises(UserError, match=word) as caught:
        config.check(Space.parse(tree), objectives, trials)
    assert "\n" not in str(caught.value)
    config.check(MIXED, 1, 50)


def test_ranges_of_one_value_are_no_dimension() -> None:
    space = Space.parse({"x": {"uniform": [0, 1]}, "one": {"int": [4, 4]}})
    params, _ = CmaesConfig().draw(History(), space, SEED, 99)
    assert params["one"] == 4
    assert isinstance(space.parameters["one"], Range)
