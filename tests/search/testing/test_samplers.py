"""Every sampler keeps what all promise."""

from __future__ import annotations

from typing import Any

import pytest

from curricula.component import by_name
from search.objectives.objective import Direction
from search.samplers import SAMPLERS
from search.samplers.base import SamplerConfig
from search.samplers.history import History
from search.space.space import Draw, Space
from search.testing.samplers import SPACES, check

CHEAP: list[dict[str, Any]] = [
    {"name": "tpe", "n_startup_trials": 5},
    {"name": "cmaes", "population_size": 5},
    {"name": "nsga2", "population_size": 6},
    {"name": "qmc"},
    {"name": "random"},
    {"name": "grid", "points": 2},
    {"name": "auto"},
]
GP = {"name": "gp", "n_startup_trials": 4}
SEVERAL = ["tpe", "nsga2", "nsga3", "random", "auto"]
MIXED: tuple[Direction, ...] = ("maximize", "minimize", "maximize")


@pytest.mark.parametrize("section", CHEAP, ids=str)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("seed", [0, 1])
def test_one_objective(section: dict[str, Any], space: str, seed: int) -> None:
    if (section["name"], space) == ("auto", "numeric"):
        pytest.skip("that is a Gaussian process, which has its own test")
    check(by_name(SAMPLERS, section), seed, SPACES[space])
    check(by_name(SAMPLERS, section), seed, SPACES[space], ("minimize",), warm=25)


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("directions", [MIXED[:2], MIXED])
def test_several_objectives(name: str, directions: tuple[Direction, ...]) -> None:
    small = {"population_size": 6} if name.startswith("nsga") else {}
    config = by_name(SAMPLERS, {"name": name, **small})
    check(config, 3, directions=directions)
    check(config, 3, directions=directions, warm=25)


@pytest.mark.parametrize("space", SPACES)
def test_gaussian_process(space: str) -> None:
    check(by_name(SAMPLERS, GP), 5, SPACES[space], candidates=7)


@pytest.mark.slow
@pytest.mark.parametrize("space", SPACES)
def test_gaussian_process_of_two_objectives(space: str) -> None:
    check(by_name(SAMPLERS, GP), 5, SPACES[space], MIXED[:2], candidates=8)


@pytest.mark.parametrize(
    "tree", [{"uniform": [0, 1]}, {"logint": [2, 9]}, {"choice": [1]}, {"choice": [1, 2]}]
)
@pytest.mark.parametrize("name", ["tpe", "nsga2", "qmc", "random", "grid"])
def test_one_value_or_one_parameter_is_enough(tree: dict[str, Any], name: str) -> None:
    space = Space.parse({"x": tree, "fixed": {"int": [3, 3]}})
    check(by_name(SAMPLERS, {"name": name}), 1, space, candidates=12)


def test_every_sampler_is_tried() -> None:
    assert {section["name"] for section in CHEAP} | {*SEVERAL, "gp"} == set(SAMPLERS)


class Stateful(SamplerConfig):
    """Breaks one promise after the other."""

    name: str = "stateful"
    crime: str

    def draw(self, history: History, space: Space, seed: int, trials: int) -> Draw:
        import numpy as np

        number = len(history.records)
        if self.crime == "uses the global generator":
            return space.sample(np.random.default_rng(np.random.randint(99)))  # noqa: NPY002
        if self.crime == "counts its draws":
            number = history.views["count"] = history.views.get("count", 0) + 1
        if self.crime == "looks at the order of endings":
            number = 100 * number + sum(i * r.number for i, r in enumerate(history.ended)) % 97
        if self.crime == "repeats":
            number = 0
        if self.crime == "ignores the seed":
            seed = 0
        return space.sample(np.random.default_rng([seed, number]))


@pytest.mark.parametrize(
    ("crime", "complaint"),
    [
        ("none", None),
        ("uses the global generator", "global generator"),
        ("counts its draws", "second look"),
        ("looks at the order of endings", "rebuilt"),
        ("repeats", "drawn before"),
        ("ignores the seed", "seed does not matter"),
    ],
)
def test_the_suite_catches(crime: str, complaint: str | None) -> None:
    if complaint is None:
        check(Stateful(crime=crime), 0)
    else:
        with pytest.raises(AssertionError, match=complaint):
            check(Stateful(crime=crime), 0)
