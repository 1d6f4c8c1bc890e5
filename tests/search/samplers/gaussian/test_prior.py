"""What other runs say is used once it foretells a sweep's own results, and only then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from search.samplers.auto import AutoConfig
from search.samplers.gaussian.belief import Belief
from search.samplers.history import History, PastTrial
from search.space.space import Params, Space

SPACE = Space.parse(
    {**{f"x{i}": {"uniform": [0, 1]} for i in range(4)}, "c": {"choice": ["a", "b"]}}
)
SHARE = (0.0, 1.0)


def truth(params: Params) -> float:
    away = sum(float(params[f"x{i}"] - 0.2 - 0.15 * i) ** 2 for i in range(4))
    return max(0.95 - away - 0.1 * (params["c"] == "b"), 0.0)


def alike(params: Params) -> float:
    """Another task: lower everywhere, and its best is a little beside."""
    return 0.6 * truth({**params, "x0": params["x0"] + 0.05})


def unlike(params: Params) -> float:
    """One that says nothing of this: another parameter matters alone, up and down."""
    return float(0.5 + 0.4 * np.sin(40 * params["x3"] + 17 * params["x1"]))


def opposite(params: Params) -> float:
    return 1 - truth(params)


def of_another_run(function: Any, count: int = 60) -> list[PastTrial]:
    rng = np.random.default_rng(7)
    found = []
    for number in range(count):
        params, _ = SPACE.sample(rng)
        value = float(np.clip(function(params) + 0.02 * rng.standard_normal(), 0, 1))
        found.append(PastTrial(number, params, "completed", (value,)))
    return found


def searched(prior: list[PastTrial], count: int, seed: int = 0) -> History:
    rng = np.random.default_rng(seed)
    history = History(bounds=SHARE, prior=prior)
    for number in range(count):
        params, _ = SPACE.sample(rng)
        value = float(np.clip(truth(params) + 0.02 * rng.standard_normal(), 0, 1))
        history.begin(params)
        history.end(PastTrial(number, params, "completed", (value,)))
    return history


def error(history: History) -> float:
    """How far configs that were not seen are foreseen from what they are."""
    belief = Belief(history, SPACE, None)
    fresh = [SPACE.sample(np.random.default_rng(10_000 + n))[0] for n in range(200)]
    rows = np.stack([belief.encoding.shares(params) for params in fresh])
    mean, _ = belief.process.posterior(belief.encoding.points(rows))
    found = [belief.scale.value(float(target)) for target in mean]
    return float(np.mean(np.square(np.array(found) - [truth(params) for params in fresh])))


@pytest.mark.parametrize("count", [8, 16])
def test_a_good_prior_is_used_and_helps(count: int) -> None:
    good = of_another_run(alike)
    plain, informed = searched([], count), searched(good, count)
    assert error(informed) < 0.5 * error(plain)


@pytest.mark.parametrize("function", [unlike, opposite])
def test_a_useless_prior_is_dropped(function: Any) -> None:
    """On whatever was found by chance, so over several sweeps."""
    bad = of_another_run(function)
    seeds = range(6)
    plain = [error(searched([], 12, seed)) for seed in seeds]
    informed = [error(searched(bad, 12, seed)) for seed in seeds]
    assert sum(a == pytest.approx(b) for a, b in zip(plain, informed, strict=True)) >= 5
    assert sum(informed) < 1.1 * sum(plain)


def test_a_prior_is_not_believed_before_it_could_prove_itself() -> None:
    good = of_another_run(alike)
    assert error(searched(good, 4)) == pytest.approx(error(searched([], 4)))


def best_after(prior: list[PastTrial], draws: int, seed: int) -> float:
    history, config = History(bounds=SHARE, prior=prior), AutoConfig()
    rng = np.random.default_rng(seed)
    for number in range(draws):
        params, _ = config.draw(history, SPACE, seed, 60)
        value = float(np.clip(truth(params) + 0.02 * rng.standard_normal(), 0, 1))
        history.begin(params)
        history.end(PastTrial(number, params, "completed", (value,)))
    return max(truth(record.params) for record in history.records)


def test_sweeps_find_more_with_a_good_prior_and_no_less_with_a_useless_one() -> None:
    priors = {name: of_another_run(f) for name, f in (("good", alike), ("useless", unlike))}
    priors["none"] = []
    found = {
        name: np.mean([best_after(prior, 10, seed) for seed in range(5)])
        for name, prior in priors.items()
    }
    assert found["good"] > found["none"]
    assert found["useless"] > found["none"] - 0.02
