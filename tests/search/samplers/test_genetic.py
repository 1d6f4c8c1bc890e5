"""NSGA-II and III: Optuna's own draws, with generations taken from the history."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.trial import create_trial

from search.objectives.objective import Direction
from search.samplers.base import draw_seed
from search.samplers.genetic import GeneticConfig
from search.samplers.history import History, PastTrial
from search.samplers.nsga2 import Nsga2Config
from search.samplers.nsga3 import Nsga3Config
from search.samplers.optuna_trials import to_optuna
from search.space.space import Space
from trm.errors import UserError

SPACE = Space.parse(
    {
        "a": {"uniform": [0, 1]},
        "b": {"loguniform": [1e-4, 1.0]},
        "c": {"int": [1, 9]},
        "d": {"choice": ["x", "y", "z"]},
        "one": {"int": [3, 3]},
    }
)
DIRECTIONS: tuple[Direction, ...] = ("maximize", "minimize")
SEED = 7


def objectives(params: dict[str, Any]) -> tuple[float, float]:
    return params["a"] + 0.1 * params["c"], params["a"] ** 2 + params["b"] + (params["d"] == "x")


def plain_study(count: int, broken: bool) -> list[PastTrial]:
    """A serial study of plain Optuna, reseeded for each trial as ours is."""
    study = optuna.create_study(directions=[*DIRECTIONS])
    distributions = {name: to_optuna(found) for name, found in SPACE.parameters.items()}
    records = []
    for number in range(count):
        study.sampler = optuna.samplers.NSGAIISampler(
            population_size=10, seed=draw_seed(SEED, number)
        )
        # Some draws are infeasible, which is known at once.
        trial = study.ask(distributions)
        params = dict(trial.params)
        if broken and number % 7 == 3:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            records.append(PastTrial(number, params, "infeasible"))
            continue
        values = objectives(params)
        violations = {"c": params["c"] - 7.0} if broken else {}
        if broken and params["c"] > 7:
            excess = (params["c"] - 7.0) / (params["c"] - 6.0)
            trial.set_constraint("constraints", excess)
        study.tell(trial, values)
        records.append(PastTrial(number, params, "completed", values, violations=violations))
    return records


@pytest.mark.parametrize("broken", [False, True])
def test_a_serial_sweep_draws_what_plain_optuna_draws(broken: bool) -> None:
    records = plain_study(65, broken)
    config = Nsga2Config(population_size=10)
    whole = [record for record in records if record.outcome != "infeasible"]
    # The first trial of a generation sees the parents that it selected in another order.
    opening = {whole[at].number + 1 for at in range(9, len(whole), 10)}
    compared = 0
    for number, record in enumerate(records):
        history = History(DIRECTIONS, (), records[:number])
        if number not in opening:
            compared += number > 10
            assert config.propose(history, SPACE, SEED, 65)[0] == record.params, number
    assert compared > 40


def play(config: GeneticConfig, count: int, lag: int, directions: Any = DIRECTIONS) -> History:
    """Candidates end `lag` after they began, in reverse order of beginning within a batch."""
    history = History(directions)
    for number in range(count):
        params, _ = config.draw(history, SPACE, SEED, count)
        history.begin(params)
        if number % (lag + 1) == lag:
            for running in reversed([*history.running]):
                params = dict(history.records[running].params)
                values = objectives(params)[: len(directions)]
                history.end(PastTrial(running, params, "completed", values))
    return history


@pytest.mark.parametrize("config", [Nsga2Config(population_size=8), Nsga3Config(population_size=8)])
@pytest.mark.parametrize("lag", [0, 5, 20])
def test_parallel_sweeps_improve_too(config: GeneticConfig, lag: int) -> None:
    history = play(config, 96, lag)
    first, last = history.records[:24], history.records[-24:]

    def front(records: list[PastTrial]) -> float:
        values = [objectives(dict(record.params)) for record in records]
        return sum(high - low for high, low in values) / len(values)

    assert front(last) > front(first) + 0.05


def test_one_objective_is_a_genetic_algorithm() -> None:
    history = play(Nsga2Config(population_size=8), 80, 0, ("maximize",))
    values = [record.values[0] for record in history.records]
    assert sum(values[-16:]) > sum(values[:16]) + 4


def test_warm_records_are_the_first_parents() -> None:
    warm = [
        PastTrial(
            -1 - i, {"a": 0.5, "b": 0.01, "c": 5, "d": "y", "one": 3}, "completed", (1.0, 0.3)
        )
        for i in range(10)
    ]
    config = Nsga2Config(population_size=8, mutation_prob=0.0)
    params, _ = config.propose(History(DIRECTIONS, warm), SPACE, SEED, 99)
    assert params.pop("b") == pytest.approx(0.01)
    assert params == {"a": 0.5, "c": 5, "d": "y", "one": 3}


def test_conditional_groups_are_crossed_among_those_that_have_them() -> None:
    space = Space.parse(
        {"o": {"choice": [{"name": "p", "u": {"int": [1, 1000]}},
                          {"name": "q", "v": {"int": [1, 1000]}}]}}
    )  # fmt: skip
    history = History(DIRECTIONS)
    for number in range(8):
        branch = "p" if number % 2 else "q"
        name = f"o[{branch}]." + ("u" if branch == "p" else "v")
        params = {"o": branch, name: 500 + number}
        history.begin(params)
        history.end(PastTrial(number, params, "completed", (float(number), float(number))))
    config = Nsga2Config(population_size=8, mutation_prob=0.0, crossover_prob=0.0)
    inherited = {500 + number for number in range(8)}
    for seed in range(20):
        params, _ = config.propose(history, space, seed, 99)
        (value,) = (value for name, value in params.items() if name != "o")
        assert value in inherited


def test_populations_by_budget() -> None:
    sizes = [Nsga2Config().population(trials) for trials in (10, 80, 200, 5000)]
    assert sizes == [8, 8, 20, 50]
    assert Nsga2Config(population_size=30).population(5000) == 30


@pytest.mark.parametrize(
    ("config", "objectives", "trials", "word"),
    [
        (Nsga2Config(population_size=50), 2, 40, "more than the 40 candidates"),
        (Nsga3Config(), 1, 400, "needs several objectives"),
    ],
)
def test_nonsense_is_refused(
    config: GeneticConfig, objectives: int, trials: int, word: str
) -> None:
    with pytest.raises(UserError, match=word) as caught:
        config.check(SPACE, objectives, trials)
    assert "\n" not in str(caught.value)
    Nsga2Config().check(SPACE, 1, 40)
    Nsga3Config().check(SPACE, 3, 40)


def test_optunas_constraint_is_the_one_that_samplers_see() -> None:
    record = PastTrial(0, {}, "completed", (1.0,), violations={"c": 2.0})
    assert create_trial(value=1.0, constraints={"constraints": 2 / 3}).constraints == {
        "constraints": pytest.approx(record.excess)
    }
