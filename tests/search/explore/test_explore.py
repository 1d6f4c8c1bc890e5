"""The explore stage without Ray: draws, decisions and what a resume restores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from search.config.plan import Plan, read_plan, write_plan
from search.explore.explore import Explore
from search.explore.warm_start import Warm
from search.ledger.ledger import Ledger
from search.ledger.trial import Trial
from tests.support.planned import checked, planned, replanned
from trm.errors import UserError
from trm.report import COLUMNS

TREE: dict[str, Any] = {
    "name": "explored",
    "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 40,
             "valid_examples": 10, "test_examples": 10},
    "model": {"hidden_size": {"choice": [16, 24]}, "num_heads": {"choice": [2, 3]}},
    "optimizer": {"lr": {"loguniform": [1e-4, 1e-2]}},
    "train": {"batch_size": 8, "budget": {"steps": 10}, "reports": 2},
    "search": {"trials": 12},
}  # fmt: skip


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return planned(TREE)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.create(tmp_path / "run") as opened:
        yield opened


def row(mark: int, progress: float, score: float) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: {"int": 0, "float": 0.0, "bool": False}[column.kind]
        for name, column in COLUMNS.items()
    }
    return {**values, "mark": mark, "progress": progress, "exact_accuracy": score}


def quality(trial: Trial) -> float:
    return float(1.0 - abs(trial.params["optimizer.lr"] - 3e-3) * 50)


def play(explore: Explore, ledger: Ledger, marks: tuple[float, ...], most: int = 10**9) -> int:
    """Run trials one after another; stops after `most` reports, perhaps inside a trial."""
    reports = 0
    while (trial := explore.next()) is not None:
        attempt = ledger.begin_attempt(trial.id)
        for mark, share in enumerate(marks, start=1):
            if mark <= trial.mark:
                continue
            if reports == most:
                return reports
            reports += 1
            report = row(mark, share, quality(trial) * share)
            assert ledger.acknowledge(trial.id, attempt, report)
            decision = explore.on_report(trial, report)
            if decision == "pause":
                ledger.pause(trial.id)
                break
            if decision == "stop" or share == 1.0:
                outcome = "completed" if share == 1.0 else "pruned"
                ledger.finish(trial.id, outcome, explore.score(report))
                explore.on_end(trial)
                break
    return reports


def facts(ledger: Ledger) -> list[tuple[Any, ...]]:
    return [(t.id, t.params, t.outcome, t.score, t.mark) for t in ledger.trials.values()]


def test_a_stage_has_the_trials_wanted_besides_infeasible_draws(plan: Plan, ledger: Ledger) -> None:
    explore = Explore(plan, ledger, 0.0)
    play(explore, ledger, plan.marks)
    outcomes = [trial.outcome for trial in ledger.trials.values()]
    assert explore.exhausted()
    assert len(outcomes) - outcomes.count("infeasible") == 12
    assert outcomes.count("infeasible") > 0
    assert outcomes.count("pruned") > 0
    for trial in ledger.trials.values():
        # 16 / 3 heads does not divide, and 24 / 3 does.
        wrong = trial.params["model.hidden_size"] == "16" and trial.params["model.num_heads"] == "3"
        assert (trial.outcome == "infeasible") == wrong
        assert not wrong or "num_heads" in trial.reason


@pytest.mark.parametrize(
    ("scheduler", "cut"),
    [("asha", 1), ("asha", 3), ("asha", 14), ("halving", 5), ("halving", 16), ("median", 14),
     ("hyperband", 14)],
)  # fmt: skip
def test_a_serial_stage_is_the_same_from_its_seed_stopped_or_not(
    scheduler: str, plan: Plan, tmp_path: Path, cut: int
) -> None:
    plan = replanned(plan, {"search": {**TREE["search"], "scheduler": {"name": scheduler}}})
    with Ledger.create(tmp_path / "straight") as straight:
        play(Explore(plan, straight, 0.0), straight, plan.marks)
        expected = facts(straight)
    with Ledger.create(tmp_path / "stopped") as stopped:
        play(Explore(plan, stopped, 0.0), stopped, plan.marks, most=cut)
    with Ledger.open(tmp_path / "stopped") as resumed:
        play(Explore(plan, resumed, 0.0), resumed, plan.marks)
        assert facts(resumed) == expected


def test_promoted_trials_complete_and_those_that_wait_in_vain_are_pruned(
    plan: Plan, ledger: Ledger
) -> None:
    search = {**TREE["search"], "scheduler": {"name": "halving"}, "sampler": "random"}
    plan = replanned(plan, {"search": search})
    explore = Explore(plan, ledger, 0.0)
    play(explore, ledger, plan.marks)
    assert explore.exhausted()
    trials = [trial for trial in ledger.trials.values() if trial.outcome != "infeasible"]
    assert len(trials) == 12
    assert not any(trial.paused for trial in trials)
    best = max(trials, key=quality)
    assert best.outcome == "completed"
    ends = {trial.outcome for trial in trials}
    assert ends == {"completed", "pruned"}
    # 12 at the first rung, 4 at the second, 1 at the end.
    by_rung = [sum(trial.mark >= mark for trial in trials) for mark in (1, 2, 4)]
    assert by_rung == [12, 4, 1], plan.marks


def searching(**search: Any) -> Plan:
    return planned({**TREE, "search": {"trials": 12, **search}})


@pytest.mark.parametrize("sampler", ["random", "qmc", "auto", {"name": "cmaes"}, "nsga2"])
@pytest.mark.parametrize("cut", [3, 14])
def test_whatever_the_sampler(sampler: Any, cut: int, tmp_path: Path) -> None:
    plan = searching(sampler=sampler)
    start = Warm(first=(plan.space.default()[0], FIRST))
    journals = [tmp_path / "straight.log", tmp_path / "resumed.log"]
    with Ledger.create(tmp_path / "straight") as straight:
        explore = Explore(plan, straight, 0.0, journals[0], start=start)
        play(explore, straight, plan.marks)
        explore.close()
        expected = facts(straight)
    assert [dict(params) for _, params, *_ in expected[:2]] == [*start.first]
    with Ledger.create(tmp_path / "stopped") as stopped:
        play(Explore(plan, stopped, 0.0, journals[1], start=start), stopped, plan.marks, most=cut)
    with Ledger.open(tmp_path / "stopped") as resumed:
        explore = Explore(plan, resumed, 0.0, journals[1], start=start)
        play(explore, resumed, plan.marks)
        explore.close()
        assert facts(resumed) == expected
    one, other = (_study(journal, plan).trials for journal in journals)
    assert [(t.params, t.state, t.values) for t in one] == [
        (t.params, t.state, t.values) for t in other
    ]
    assert [trial.user_attrs["trials"] for trial in one] == [[fact[0]] for fact in expected]
    assert all(trial.state.is_finished() for trial in one)


FIRST = {"model.hidden_size": "24", "model.num_heads": "3", "optimizer.lr": 2e-3}


def _study(journal: Path, plan: Plan) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(journal)))
    return optuna.load_study(study_name=plan.run_id, storage=storage)


def test_a_grid_ends_the_stage(tmp_path: Path) -> None:
    """12 points and one first point off the grid, of which a quarter is infeasible."""
    plan = searching(sampler={"name": "grid", "points": 3}, trials=99)
    start = Warm(first=(plan.space.default()[0], FIRST))
    with Ledger.create(tmp_path / "run") as ledger:
        explore = Explore(plan, ledger, 0.0, start=start)
        play(explore, ledger, plan.marks)
        assert explore.exhausted()
        assert explore.next() is None
        points = {tuple(sorted(trial.params.items())) for trial in ledger.trials.values()}
    assert len(points) == len(ledger.trials) == 13


@pytest.mark.parametrize(
    ("search", "word"),
    [
        ({"sampler": {"name": "nsga2", "population_size": 50}}, "population_size: 50"),
        ({"sampler": "nsga3"}, "needs several objectives"),
        ({"scheduler": {"name": "pbt"}, "first": ["default"]}, "do not count with pbt"),
        ({"scheduler": {"name": "pbt"}, "warm_start": ["runs/x"]}, "do not count with pbt"),
    ],
)
def test_searches_that_make_no_sense(search: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=word) as caught:
        checked({**TREE, "search": {"trials": 12, **search}})
    assert "\n" not in str(caught.value)


def test_a_decision_that_a_kill_swallowed_is_made_on_resume(plan: Plan, tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "run") as ledger:
        explore = Explore(plan, ledger, 0.0)
        play(explore, ledger, plan.marks, most=10)
        trial = explore.next()
        assert trial is not None
        attempt = ledger.begin_attempt(trial.id)
        first = plan.scheduler().shares[0]
        marks = [share for share in plan.marks if share <= first]
        for mark, share in enumerate(marks, start=1):
            assert ledger.acknowledge(trial.id, attempt, row(mark, share, -1.0))
    with Ledger.open(tmp_path / "run") as ledger:
        Explore(plan, ledger, 0.0)
        assert ledger.trials[trial.id].outcome == "pruned"


def test_a_plan_survives_its_folder(plan: Plan, tmp_path: Path) -> None:
    write_plan(tmp_path, plan)
    again = read_plan(tmp_path)
    assert again.budget == plan.budget
    assert again.marks == plan.marks
    assert again.run_id == plan.run_id
    assert again.tree == plan.tree


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"optimizer": {"lr": {"loguniform": [1e-2, 1e-4]}}}, "optimizer.lr"),
        ({"optimizer": {"lr": {"loguniform": [0, 1e-2]}}}, "logarithm"),
        ({"optimizer": {"lr": 1e-3}, "model": {}}, "nothing to search"),
        ({"train": {"seed": {"int": [0, 3]}}}, "train.seed"),
        ({"train": {"budget": {"steps": {"int": [1, 3]}}}}, "train.budget.steps"),
        ({"optimizer": {"name": {"choice": ["adamw", "lion"]}}}, "lion"),
        ({"model": {"H_cycles": {"int": [0, 3]}}}, "H_cycles = 0"),
    ],
)
def test_spaces_that_cannot_be_searched(change: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=word) as caught:
        checked({**TREE, **change})
    assert "\n" not in str(caught.value)
