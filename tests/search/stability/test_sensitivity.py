"""Designs, estimators with known answers, planted cliffs, and one design through the engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.cli import main
from search.config.plan import Plan, write_plan
from search.engine.driver import Runner
from search.ledger.ledger import Ledger
from search.ledger.reader import read_trials
from search.ledger.trial import Trial
from search.stability.response import TriedValue
from search.stability.result import Finalist, Promise, Result
from search.stability.sensitivity import analyse, sensitivity
from search.stability.sensitivity_design import Request, budget_of, design_trials, tried_values
from search.stability.sensitivity_result import SENSITIVITY_FILE
from tests.support.folders import ROOT
from tests.support.planned import planned, replanned
from tests.support.toy_training import SWEPT
from trm.config import experiment_from
from trm.errors import UserError

TREE: dict[str, Any] = {
    "name": "varied",
    "task": {"name": "arrows", "size": 4, "train_examples": 40, "valid_examples": 10,
             "test_examples": 10},
    "model": {"hidden_size": {"choice": [16, 24]}, "num_heads": {"choice": [2, 3, 4]},
              "L_cycles": {"int": [1, 9]},
              "halt_exploration_prob": {"uniform": [0.0, 1.0]}},
    "optimizer": {
        "choice": [
            {"name": "adamw", "lr": {"loguniform": [1e-3, 1e1]}},
            {"name": "adam_atan2", "lr": 0.1, "weight_decay": {"uniform": [0.0, 1.0]}},
        ]
    },
    "train": {"budget": {"flops": 1e9}, "batch_size": 1, "reports": 2},
    "search": {"scheduler": "none"},
}  # fmt: skip
LR, CYCLES, HEADS = "optimizer[adamw].lr", "model.L_cycles", "model.num_heads"
WINNER = {
    "model.hidden_size": "16", HEADS: "2", CYCLES: 3, "model.halt_exploration_prob": 0.5,
    "optimizer": "adamw", LR: 0.1,
}  # fmt: skip


@pytest.fixture
def plan() -> Plan:
    return planned(TREE)


@pytest.fixture
def folder(tmp_path: Path, plan: Plan) -> Path:
    """A finished sweep whose winner is `WINNER`."""
    with Ledger.create(tmp_path / "run") as ledger:
        write_plan(ledger.folder, plan)
        trial = ledger.add_trial(
            stage="explore", params=WINNER, config=plan.space.apply(WINNER), seed=0
        )
        ledger.begin_attempt(trial.id)
        ledger.finish(trial.id, "completed", 0.9)
        promise = Promise([1001, 1002], [0.9, 0.9], 0.9, 0.8, 1.0, [0.9, 0.9])
        Result(0, "exact_accuracy", 0.9, [Finalist(0, 0.9, 0.9, 0.9, [0.9], 0)], promise,
               promise).save(ledger.folder)  # fmt: skip
    return tmp_path / "run"


@pytest.fixture
def ledger(folder: Path) -> Iterator[Ledger]:
    with Ledger.open(folder) as opened:
        yield opened


def play(trials: list[Trial], ledger: Ledger, score: Callable[[Trial], float | None]) -> None:
    for trial in trials:
        if trial.outcome is None:
            ledger.begin_attempt(trial.id)
            value = score(trial)
            outcome = "completed" if value is not None else "diverged"
            ledger.finish(trial.id, outcome, 0.0 if value is None else value)  # type: ignore[arg-type]


def test_values_stand_on_the_parameters_own_scale(plan: Plan) -> None:
    parameters = plan.space.parameters
    values = tried_values(parameters[LR], 0.1, Request(points=5, radius=0.5))
    assert values == pytest.approx([1e-3, 1e-2, 1e-1, 1, 10])
    assert 0.1 in values
    near = tried_values(parameters[LR], 0.1, Request(points=3, radius=0.25))
    assert near == pytest.approx([1e-2, 1e-1, 1])
    assert tried_values(parameters[CYCLES], 3, Request(points=40, radius=1)) == [*range(1, 10)]
    assert tried_values(parameters[CYCLES], 1, Request(points=3, radius=0.3)) == [1, 2, 4]
    assert tried_values(parameters[HEADS], "2", Request()) == ["2", "3", "4"]
    edge = tried_values(parameters[LR], 10.0, Request(points=5, radius=0.5))
    assert edge[-1] == 10.0
    assert len(edge) == 5


def test_one_at_a_time_is_what_it_says(plan: Plan, ledger: Ledger) -> None:
    winner = ledger.trials[0]
    trials = design_trials(plan, ledger, winner, Request(seeds=3))
    feasible = [t for t in trials if t.outcome != "infeasible"]
    for trial in feasible:
        changed = {k for k in {**trial.params, **WINNER} if trial.params.get(k) != WINNER.get(k)}
        assert changed <= {"optimizer", LR, "optimizer[adam_atan2].weight_decay"} or (
            len(changed) == 1
        )
        assert trial.config["train"]["seed"] == trial.seed
        experiment_from(trial.config)
    # Another option brings its own parameters, at their default.
    other = next(t for t in feasible if t.params["optimizer"] == "adam_atan2")
    assert other.params["optimizer[adam_atan2].weight_decay"] == 0.5
    assert LR not in other.params
    # Three heads do not divide 16: known before it runs, and once.
    broken = [t for t in trials if t.outcome == "infeasible"]
    assert [t.params[HEADS] for t in broken] == ["3"]
    assert {t.seed for t in feasible} == {3001, 3002, 3003}
    per_seed = len(feasible) / 3
    assert [t.seed for t in feasible][: int(per_seed)] == [3001] * int(per_seed)
    # Nothing twice, and a larger design keeps the smaller one.
    count = len(ledger.trials)
    assert design_trials(plan, ledger, winner, Request(seeds=3)) == trials
    assert len(ledger.trials) == count
    more = design_trials(plan, ledger, winner, Request(seeds=4))
    assert {t.id for t in trials} < {t.id for t in more}
    assert len(ledger.trials) == count + per_seed


def test_a_planted_cliff_and_the_safe_range(plan: Plan, ledger: Ledger) -> None:
    rng = np.random.default_rng(0)

    def score(trial: Trial) -> float | None:
        lr = trial.params.get(LR, 0.1)
        if lr > 5:
            return None
        good = 0.9 if lr < 0.5 else 0.6
        return good - 0.04 * abs(trial.params[CYCLES] - 3) + float(rng.normal(0, 0.004))

    request = Request(points=5, seeds=3, radius=0.5, params=(LR, CYCLES, HEADS))
    winner = ledger.trials[0]
    play(design_trials(plan, ledger, winner, request), ledger, score)
    found = analyse(plan, ledger, winner, request, 1000)
    by_name = {each.name: each for each in found.responses}
    heads, cycles, lr = by_name[HEADS], by_name[CYCLES], by_name[LR]
    assert found.sd == pytest.approx(0.004, abs=0.012)
    assert lr.scale == "log"
    assert lr.safe == pytest.approx([1e-3, 0.1])
    assert lr.open == (True, False)
    assert lr.width == pytest.approx(0.5)
    assert [(c.near, c.far) for c in lr.cliffs] == [
        (pytest.approx(0.1), pytest.approx(1.0)), (pytest.approx(1.0), pytest.approx(10.0))
    ]  # fmt: skip
    assert lr.cliffs[0].change == pytest.approx(-0.3, abs=0.02)
    assert lr.cliffs[0].failed == 0
    assert lr.cliffs[1].failed == 1.0
    assert lr.points[-1].failures == 3
    assert cycles.safe == [3, 3]
    assert cycles.width == pytest.approx(1 / 9), "one value of nine"
    assert cycles.cliffs == [], "a slope is no cliff"
    assert heads.safe == ["2", "4"]
    assert next(p for p in heads.points if p.value == "3").reason
    assert found.failures > 0


def test_noise_is_no_cliff_and_a_failure_is_not_safe(plan: Plan, ledger: Ledger) -> None:
    rng = np.random.default_rng(5)
    request = Request(points=7, seeds=2, radius=1, params=(CYCLES,))
    winner = ledger.trials[0]

    def score(trial: Trial) -> float | None:
        if trial.params[CYCLES] == 6 and trial.seed == 3002:
            return None
        return 0.5 + float(rng.normal(0, 0.15))

    play(design_trials(plan, ledger, winner, request), ledger, score)
    (cycles,) = analyse(plan, ledger, winner, request, 1000).responses
    assert max(abs(np.diff([p.merit for p in cycles.points if not p.failures]))) > 0.1
    assert not [c for c in cycles.cliffs if not c.failed]
    assert cycles.safe[1] < 6


def test_sobol_through_a_ledger_finds_what_matters(plan: Plan, ledger: Ledger) -> None:
    request = Request("sobol", points=32, seeds=1, radius=1, params=(LR, CYCLES))
    winner = ledger.trials[0]
    trials = design_trials(plan, ledger, winner, request)
    lr = plan.space.parameters[LR]
    play(trials, ledger, lambda t: None if t.params[CYCLES] > 8 else lr.position(t.params[LR]))  # type: ignore[union-attr]
    found = analyse(plan, ledger, winner, request, 1000)
    assert found.rows == 32
    assert set(found.score) == set(found.failure) == {LR, CYCLES}
    assert found.failure[CYCLES].total.value == pytest.approx(1.0, abs=0.3)
    assert found.failure[LR].total.value == pytest.approx(0.0, abs=1e-9)
    assert found.score[LR].total.value > found.failure[LR].total.value
    # Rows with a config that no model can be built from do not count.
    request = Request("sobol", points=16, seeds=1, radius=1, params=(HEADS, CYCLES))
    play(design_trials(plan, ledger, winner, request), ledger, lambda t: 0.5)
    assert 0 < analyse(plan, ledger, winner, request, 1000).rows < 16


def test_a_design_runs_through_the_engine_and_goes_on(
    ray_cluster: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = Request(params=(LR,), points=3, seeds=2, radius=0.4)
    runner = Runner(factory=SWEPT, path=[str(ROOT)], parallel=1)
    before = budget_of(folder, request)
    assert (before.configs, before.runs, before.done) == (3, 6, 0)
    assert not [t for t in read_trials(folder).values() if t.stage == "sensitivity"]
    found = sensitivity(folder, request, runner)
    trials = [t for t in read_trials(folder).values() if t.stage == "sensitivity"]
    assert len(trials) == 6
    # The toy diverges above 1.
    assert {t.outcome for t in trials if t.params[LR] > 1} == {"diverged"}
    assert {t.outcome for t in trials if t.params[LR] < 1} == {"completed"}
    (lr,) = found.responses
    assert lr.points[-1].failures == 2
    assert lr.safe[1] == WINNER[LR]
    assert budget_of(folder, request).done == 6
    again = sensitivity(folder, request, runner)
    assert again == found
    assert len(read_trials(folder)) == 7
    more = Request(params=(LR,), points=3, seeds=3, radius=0.4)
    assert sensitivity(folder, more, runner).responses[0].points[0].scores[:2] == (
        lr.points[0].scores
    )
    assert len(read_trials(folder)) == 10
    stored = json.loads((folder / SENSITIVITY_FILE).read_text())
    assert stored["oat"]["seeds"] == 3
    assert main(["status", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    explored, varied = (
        next(line for line in lines if line.startswith(f"  {stage} "))
        for stage in ("explore", "sensitivity")
    )
    assert explored.index("1 completed") == varied.index(varied.split(maxsplit=1)[1])
    words = ["sensitivity", str(folder), "--params", LR, "--points", "3", "--radius", "0.4"]
    assert main([*words, "--seeds", "3"]) == 0  # all there: no Ray is asked
    shown = capsys.readouterr().out
    assert "cliff" in shown
    assert "failed" in shown
    assert main([*words, "--dry-run"]) == 0
    assert "3 configs x 2 seeds = 6 full trials, 6 of them done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(params=("optimizer.le",)), "is no parameter"),
        (Request(params=("optimizer[adam_atan2].weight_decay",)), "does not exist in the winner"),
        (Request(radius=0.0), "--radius"),
        (Request("sobol", points=12), "power of two"),
        (Request("sobol", points=1), "power of two from 2"),
        (Request(points=1), "at least 2"),
    ],
)
def test_bad_requests_start_nothing(folder: Path, request_: Request, words: str) -> None:
    with pytest.raises(UserError, match=words):
        sensitivity(folder, request_)
    assert len(read_trials(folder)) == 1


def test_a_run_without_a_winner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sensitivity", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("names", [",", "", "optimizer.lr,"])
def test_a_list_with_an_empty_name_is_not_all_parameters(
    names: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sensitivity", str(folder), "--dry-run", "--params", names]) == 2
    assert "must be names" in capsys.readouterr().err


def test_one_seed_is_no_seeds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sensitivity", str(folder), "--dry-run", "--seeds", "1", "--params", LR]) == 0
    assert " x 1 seed = " in capsys.readouterr().out


def test_points_know_their_failures() -> None:
    point = TriedValue(1.0, 0.5, [0.9, 0.0], 1, [0.9], 0.45)
    assert point.failed == 0.5
    assert TriedValue(1.0, 0.5, [], 0, [], 0.0, "no").failed == 1.0


def test_a_population_has_no_values_to_vary(
    folder: Path, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    bred = replanned(plan, {**plan.tree, "search": {"scheduler": "pbt"}})
    write_plan(folder, bred)
    assert main(["sensitivity", str(folder), "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert "pbt" in error
    assert error.count("\n") == 1
