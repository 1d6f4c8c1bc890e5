"""The explore stage with several seeds a config, several objectives and constraints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from scipy import stats

from search.config.plan import Plan
from search.engine.events import NoEvents
from search.engine.execution import Execution
from search.explore.candidates import explored, pareto_front
from search.explore.explore import Explore
from search.ledger.book import Book
from search.ledger.ledger import Ledger
from search.ledger.trial import Trial
from search.logs.optuna_journal import STUDY_FILE
from search.stability.confirm import finalists
from tests.support.planned import planned
from trm.report import COLUMNS

TREE: dict[str, Any] = {
    "name": "judged",
    "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 40,
             "valid_examples": 10, "test_examples": 10},
    "model": {"hidden_size": 16, "num_heads": 2},
    "optimizer": {"lr": {"loguniform": [1e-4, 1e-2]}},
    "train": {"batch_size": 8, "budget": {"steps": 10}, "reports": 2, "seed": 5},
    "search": {"trials": 12, "scheduler": {"name": "asha", "eta": 2, "min_share": 0.5}},
}  # fmt: skip

Values = Callable[[Trial], dict[str, float]]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.create(tmp_path / "run") as opened:
        yield opened


def plan(**search: Any) -> Plan:
    tree = {**TREE, "search": {**TREE["search"], **search}}
    return planned(tree)


def accuracy(trial: Trial) -> float:
    """Best at a learning rate of 3e-3; seeds differ by up to 0.1."""
    return 0.8 - abs(trial.params["optimizer.lr"] - 3e-3) * 50 + 0.1 * (trial.seed % 3 - 1)


def values(trial: Trial) -> dict[str, float]:
    return {"exact_accuracy": accuracy(trial), "mean_steps": 1 + 1e3 * trial.params["optimizer.lr"]}


def play(
    plan: Plan, explore: Explore, ledger: Book, values: Values = values, most: int = 10**9,
    diverges: Callable[[Trial], bool] = lambda trial: False,
) -> bool:  # fmt: skip
    """Run trials one after another; stops after `most` reports. Whether the stage has ended."""
    row = {
        name: {"int": 0, "float": 0.0, "bool": False}[column.kind]
        for name, column in COLUMNS.items()
    }
    while (trial := explore.next()) is not None:
        attempt = ledger.begin_attempt(trial.id)
        for mark, share in enumerate(plan.marks, start=1):
            if mark <= trial.mark:
                continue
            if not most:
                return False
            most -= 1
            report = row | values(trial) | {"mark": mark, "progress": share}
            ledger.acknowledge(trial.id, attempt, report)
            last = share == 1.0
            if last and diverges(trial):
                ledger.finish(trial.id, "diverged", explore.floor, "nan")
            elif explore.on_report(trial, report) == "stop":
                ledger.finish(trial.id, "pruned", explore.score(report))
            elif last:
                ledger.finish(trial.id, "completed", explore.score(report))
            if trial.outcome is not None:
                explore.on_end(trial)
                break
    assert explore.exhausted()
    return True


def facts(ledger: Book) -> list[tuple[Any, ...]]:
    return [
        (t.id, t.candidate, t.seed, t.params, t.outcome, t.score) for t in ledger.trials.values()
    ]


def test_every_config_that_is_not_stopped_gets_all_its_seeds(ledger: Ledger) -> None:
    found = plan(seeds=3)
    explore = Explore(found, ledger, 0.0)
    play(found, explore, ledger)
    groups: dict[int, list[Trial]] = {}
    for trial in ledger.trials.values():
        groups.setdefault(trial.candidate, []).append(trial)
    assert len(groups) == 12
    assert {t.outcome for seeds in groups.values() for t in seeds} == {"completed", "pruned"}
    for seeds in groups.values():
        assert len(seeds) == (3 if seeds[0].outcome == "completed" else 1)
        assert len({t.seed for t in seeds}) == len(seeds)
        assert all(t.config["train"]["seed"] == t.seed for t in seeds)
    assert explore.done == len(ledger.trials)
    whole = {one.trial.id: one for one in explored(found, ledger)}
    assert set(whole) == {key for key, seeds in groups.items() if len(seeds) == 3}
    for key, one in whole.items():
        assert one.score == pytest.approx(sum(map(accuracy, groups[key])) / 3)


@pytest.mark.parametrize("how", ["mean", "worst", "lower"])
def test_a_failed_seed_counts_at_the_floor(ledger: Ledger, how: str) -> None:
    found = plan(seeds=3, aggregate=how, scheduler="none", trials=4)
    late = 5 + 2001 + 1

    def diverges(trial: Trial) -> bool:
        return trial.seed == late and trial.candidate == 0

    play(found, Explore(found, ledger, 0.0), ledger, diverges=diverges)
    one = next(one for one in explored(found, ledger) if one.trial.id == 0)
    scores = sorted(trial.score or 0.0 for trial in one.seeds)
    assert scores[0] == 0.0
    assert len(scores) == 3
    bound = stats.t.interval(0.8, 2, np.mean(scores), stats.sem(scores))[0]
    expected = {"mean": np.mean(scores), "worst": 0.0, "lower": max(bound, 0.0)}
    assert one.score == pytest.approx(expected[how])
    assert finalists(found, ledger)[0].id != 0


@pytest.mark.parametrize("search", [{"seeds": 3}, {"objective": ["exact_accuracy", "mean_steps"]}])
def test_cut_anywhere_and_resumed_it_is_the_same_sweep(
    tmp_path: Path, search: dict[str, Any]
) -> None:
    found = plan(**search, sampler={"name": "tpe", "n_startup_trials": 4})
    whole = Book()
    play(found, Explore(found, whole, 0.0), whole)
    for most in (1, 2, 5, 8, 13):
        folder = tmp_path / str(most)
        with Ledger.create(folder) as ledger:
            assert not play(found, Explore(found, ledger, 0.0), ledger, most=most)
        ended = False
        while not ended:
            with Ledger.open(folder) as ledger:
                ended = play(found, Explore(found, ledger, 0.0), ledger, most=7)
                result = facts(ledger)
        assert result == facts(whole)


def test_several_objectives_reach_the_study_and_make_a_front(ledger: Ledger) -> None:
    found = plan(
        objective=["exact_accuracy", "mean_steps"], constraints=["mean_steps <= 3"], trials=24
    )
    explore = Explore(found, ledger, 0.0, ledger.folder / STUDY_FILE)
    play(found, explore, ledger)
    explore.close()
    study = optuna.load_study(
        study_name=found.run_id,
        storage=JournalStorage(JournalFileBackend(str(ledger.folder / STUDY_FILE))),
    )
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["exact_accuracy", "mean_steps"]
    whole = {one.trial.id: one for one in explored(found, ledger)}
    assert {t.outcome for t in ledger.trials.values()} == {"completed", "pruned"}
    for trial in ledger.trials.values():
        if trial.outcome == "completed":
            assert study.trials[trial.id].values == list(whole[trial.id].values.values())
    front = pareto_front(found, list(whole.values()))
    assert front
    assert all(one.values["mean_steps"] <= 3 for one in front)
    assert any(one.values["mean_steps"] > 3 for one in whole.values())
    best = {trial.number for trial in study.best_trials}
    assert {one.trial.id for one in front} == best & set(whole)
    assert {t.id for t in finalists(found, ledger)} <= {o.trial.id for o in front} | {
        one.trial.id for one in whole.values() if one.feasible
    }


def test_a_minimised_objective_is_searched_downwards(ledger: Ledger) -> None:
    found = plan(objective={"column": "mean_steps", "floor": 100.0}, trials=20)
    explore = Explore(found, ledger, found.objective.worst(0.0))
    play(found, explore, ledger, diverges=lambda trial: trial.id == 3)
    ranked = finalists(found, ledger)
    ended = [t for t in ledger.trials.values() if t.outcome == "completed"]
    assert ranked[0].score == min(t.score for t in ended if t.score is not None)
    stopped = [t.score for t in ledger.trials.values() if t.outcome == "pruned"]
    assert min(s for s in stopped if s is not None) > ranked[0].score
    assert ledger.trials[3].score == 100.0 or ledger.trials[3].outcome == "pruned"


def test_no_new_config_once_there_is_no_room(ledger: Ledger) -> None:
    found = plan(scheduler="none")
    room = iter([True, True, True, False])
    play(found, Explore(found, ledger, 0.0, may_draw=lambda: next(room)), ledger)
    assert [t.outcome for t in ledger.trials.values()] == ["completed"] * 3


def test_a_second_objective_that_is_not_finite_fails_the_trial(ledger: Ledger) -> None:
    found = plan(objective=["exact_accuracy", "mean_steps"], trials=1, scheduler="none")

    def job(trial: Trial, attempt: int) -> Any:
        return attempt

    run = Execution(Explore(found, ledger, 0.0), ledger, NoEvents(), job)
    run.suggest("a")
    row = {
        name: {"int": 1, "float": 0.5, "bool": False}[column.kind]
        for name, column in COLUMNS.items()
    }
    row |= {"mean_steps": math.nan, "progress": 1.0}
    run.on_message("a", {"kind": "report", "attempt": 1, "row": row, "last": True})
    trial = ledger.trials[0]
    assert (trial.outcome, trial.score, trial.reason) == ("diverged", 0.0, "the objective is nan")
