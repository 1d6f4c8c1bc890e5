"""Which sampler `auto` takes, and when."""

from __future__ import annotations

from typing import Any

import pytest

from search.samplers.auto import AutoConfig
from search.samplers.gp import GpConfig
from search.samplers.history import History, PastTrial
from search.samplers.qmc import QmcConfig, sobol_draw
from search.space.space import Space
from trm.errors import UserError

NUMERIC = Space.parse({"x": {"uniform": [0, 1]}, "n": {"int": [1, 9]}, "one": {"choice": ["a"]}})
CHOICES = Space.parse({"x": {"uniform": [0, 1]}, "c": {"choice": ["a", "b"]}})
CONDITIONAL = Space.parse({"c": {"choice": [{"name": "a", "x": {"uniform": [0, 1]}}, "b"]}})


@pytest.mark.parametrize(
    ("space", "objectives", "names"),
    [
        (NUMERIC, 1, ["gp", "gp", "cmaes"]),
        (CHOICES, 1, ["gp", "gp", "tpe"]),
        (CONDITIONAL, 1, ["gp", "gp", "tpe"]),
        (NUMERIC, 2, ["gp", "tpe", "nsga2"]),
        (CHOICES, 3, ["tpe", "tpe", "nsga2"]),
        (NUMERIC, 4, ["tpe", "tpe", "nsga3"]),
        (CONDITIONAL, 5, ["tpe", "tpe", "nsga3"]),
    ],
)
def test_the_table(space: Space, objectives: int, names: list[str]) -> None:
    chosen = [AutoConfig().chosen(space, objectives, trials).name for trials in (250, 1000, 1001)]
    assert chosen == names
    for trials in (250, 1000, 1001):
        AutoConfig().check(space, objectives, trials)


def test_quasi_random_candidates_come_first() -> None:
    config, history = AutoConfig(), History()
    assert config.first(CHOICES, 100) == 4
    for number in range(6):
        params, tree = config.draw(history, CHOICES, 3, 100)
        quasi = sobol_draw(CHOICES, 3, number)
        assert ((params, tree) == quasi) == (number < 4)
        history.begin(params)
        history.end(PastTrial(number, params, "completed", (params["x"],)))


def test_a_warm_start_counts_as_a_start() -> None:
    warm = [PastTrial(-1 - i, {"x": i / 9, "c": "a"}, "completed", (i / 9,)) for i in range(9)]
    history = History(("maximize",), warm)
    assert AutoConfig().draw(history, CHOICES, 3, 100) == GpConfig(n_startup_trials=1).draw(
        history, CHOICES, 3, 100
    )
    assert AutoConfig(initial=10).draw(history, CHOICES, 3, 100) == QmcConfig().draw(
        history, CHOICES, 3, 100
    )


@pytest.mark.parametrize(("trials", "first"), [(8, 4), (20, 5), (400, 6)])
def test_how_many_come_first(trials: int, first: int) -> None:
    space: dict[str, Any] = {f"x{i}": {"uniform": [0, 1]} for i in range(12)}
    assert AutoConfig().first(Space.parse(space), trials) == first


def test_what_the_chosen_one_refuses_is_refused() -> None:
    with pytest.raises(UserError, match="candidates of the sweep"):
        # No such budget is planned with CMA-ES or NSGA-II, so only a stand-in can show it.
        type("Tiny", (AutoConfig,), {"chosen": lambda *_: _refusing()})().check(NUMERIC, 1, 3)


def _refusing() -> Any:
    from search.samplers.cmaes import CmaesConfig

    return CmaesConfig(population_size=9)
