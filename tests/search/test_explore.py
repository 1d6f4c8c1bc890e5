"""The explore stage without Ray: draws, decisions and what a resume restores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search.explore import Explore
from search.ledger import Ledger, Trial
from search.plan import Plan, check_space, read_plan, replan, resolve_plan, write_plan
from trm.config import experiment_from
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
    space = check_space(TREE)
    return resolve_plan(TREE, experiment_from(space.default()[1]).task.build(), space)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.create(tmp_path / "run") as opened:
        yield opened


def row(mark: int, progress: float, score: float) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: {"int": 0, "float": 0.0, "bool": False}[kind] for name, kind in COLUMNS.items()
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
    plan = replan(plan, {"search": {**TREE["search"], "scheduler": {"name": scheduler}}})
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
    plan = replan(plan, {"search": {**TREE["search"], "scheduler": {"name": "halving"}}})
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
    assert again.study == plan.study
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
        check_space({**TREE, **change})
    assert "\n" not in str(caught.value)
