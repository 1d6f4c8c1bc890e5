"""What a sweep takes from other runs whose spaces differ."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.config.plan import Plan, write_plan
from search.explore.explore import Explore
from search.explore.warm_start import (
    BEST_FEW,
    Warm,
    read_start,
    read_warm,
    require_runs,
    warm_of,
    write_start,
)
from search.ledger.ledger import Ledger
from search.ledger.reader import read_trials
from search.ledger.trial import Trial
from search.logs.optuna_journal import StudyLog
from search.samplers.history import PastTrial
from tests.support.planned import planned
from trm.config import experiment_from, set_value
from trm.errors import UserError
from trm.report import COLUMNS

TREE: dict[str, Any] = {
    "name": "old",
    "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 40,
             "valid_examples": 10, "test_examples": 10},
    "model": {"hidden_size": {"choice": [16, 24]}, "num_heads": {"choice": [2, 3]},
              "H_cycles": 1, "L_cycles": 1},
    "optimizer": {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-2]}},
    "train": {"batch_size": 8, "budget": {"steps": 10}, "reports": 2},
    "search": {"trials": 12, "sampler": "random"},
}  # fmt: skip


def tree_with(**changes: Any) -> dict[str, Any]:
    tree = deepcopy(TREE)
    for path, value in changes.items():
        set_value(tree, path.replace("__", "."), value)
    return tree


def plan_of(tree: dict[str, Any]) -> Plan:
    return planned(tree)


def quality(trial: Trial) -> float:
    return float(1.0 - abs(trial.params["optimizer.lr"] - 3e-3) * 50)


def play(plan: Plan, ledger: Ledger, start: Warm | None = None, study: Path | None = None) -> None:
    explore = Explore(plan, ledger, 0.0, study, start=start)
    blank = {
        name: {"int": 0, "float": 0.0, "bool": False}[column.kind]
        for name, column in COLUMNS.items()
    }
    while (trial := explore.next()) is not None:
        attempt = ledger.begin_attempt(trial.id)
        if trial.id == 5:
            ledger.finish(trial.id, "crashed", 0.0, "a wilful crash")
            explore.on_end(trial)
            continue
        for mark, share in enumerate(plan.marks, start=1):
            report = {**blank, "mark": mark, "progress": share, "compute": share * plan.budget,
                      "exact_accuracy": quality(trial) * share}  # fmt: skip
            assert ledger.acknowledge(trial.id, attempt, report)
            stop = explore.on_report(trial, report) == "stop"
            if stop or share == 1.0:
                outcome = "completed" if share == 1.0 else "pruned"
                ledger.finish(trial.id, outcome, explore.score(report))
                explore.on_end(trial)
                break
    explore.close()


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search, read-only to the tests."""
    folder = tmp_path_factory.mktemp("runs") / "old"
    plan = plan_of(TREE)
    with Ledger.create(folder) as ledger:
        play(plan, ledger)
    write_plan(folder, plan)
    outcomes = {trial.outcome for trial in read_trials(folder).values()}
    assert outcomes == {"completed", "pruned", "crashed", "infeasible"}
    return folder


def told(folder: Path, **changes: Any) -> Warm:
    return read_warm([str(folder)], plan_of(tree_with(**changes)))


def feasible(folder: Path) -> list[Trial]:
    return [t for t in read_trials(folder).values() if t.outcome != "infeasible"]


def test_the_same_sweep_takes_every_result(old: Path, tmp_path: Path) -> None:
    warm = told(old)
    trials = feasible(old)
    assert [record.number for record in warm.records] == [-1 - i for i in range(len(trials))]
    assert [*warm.origins] == [f"{old}#{trial.id}" for trial in trials]
    shutil.copytree(old, tmp_path / "copy")
    with Ledger.open(tmp_path / "copy") as ledger:
        known = Explore(plan_of(TREE), ledger, 0.0)._history.records
    expected = [record for record in known if record.outcome != "infeasible"]
    for record, own in zip(warm.records, expected, strict=True):
        assert replace(record, number=own.number, progress=0.0) == replace(own, progress=0.0)
        assert record.progress == pytest.approx(own.progress)
    best = sorted(
        (t for t in trials if t.outcome == "completed"), key=lambda t: t.score or 0.0, reverse=True
    )
    assert [*warm.first] == [trial.params for trial in best[:BEST_FEW]]
    assert warm.notes == (f"{old}: {len(trials)} observations, {BEST_FEW} first points",)


def test_a_narrower_range_drops_what_lies_outside_and_says_so(old: Path) -> None:
    warm = told(old, optimizer__lr={"loguniform": [1e-3, 5e-3]})
    inside = [t for t in feasible(old) if 1e-3 <= t.params["optimizer.lr"] <= 5e-3]
    assert 0 < len(inside) < len(feasible(old))
    assert set(warm.origins) == {f"{old}#{trial.id}" for trial in inside}
    outside = len(feasible(old)) - len(inside)
    assert warm.notes[0].endswith(f"; {outside} outside the space (optimizer.lr {outside})")


def test_a_new_parameter_is_where_the_old_run_had_it(old: Path) -> None:
    warm = told(old, optimizer__beta2={"uniform": [0.9, 0.999]})
    default = experiment_from(feasible(old)[0].config).optimizer.beta2
    assert len(warm.records) == len(feasible(old))
    assert {record.params["optimizer.beta2"] for record in warm.records} == {default}


def test_results_of_another_config_do_not_compare(old: Path) -> None:
    """What is not searched here differs: their best are tried, and nothing else is believed."""
    for path, value in (("optimizer__beta1", 0.8), ("model__num_heads", 2)):
        warm = told(old, **{path: value})
        alike = [t for t in feasible(old) if path == "model__num_heads"
                 and t.params["model.num_heads"] == "2"]  # fmt: skip
        assert len(warm.records) == len(alike)
        assert len(warm.first) == BEST_FEW


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("train__budget", {"steps": 20}, "compute"),
        ("task__valid_examples", 20, "another task"),
        ("search__objective", "cell_accuracy", "other objectives"),
        ("search__constraints", ["mean_steps <= 6"], "other constraints"),
        ("search__seeds", 2, "other seeds"),
    ],
)
def test_scores_that_do_not_compare_are_first_points_and_a_prior(
    old: Path, path: str, value: Any, reason: str
) -> None:
    warm = told(old, **{path: value})
    assert warm.records == ()
    assert len(warm.first) == BEST_FEW
    assert f"(scores do not compare: {reason}" in warm.notes[0]
    if reason == "other objectives":
        assert warm.priors == ()
        return
    assert [prior.number for prior in warm.priors] == list(range(len(told(old).records)))
    assert f"{len(warm.priors)} as a prior that has to prove itself" in warm.notes[0]
    assert warm_of(json.loads(json.dumps(warm.tree()))) == warm


def test_two_runs_and_the_sweeps_own_points_are_told_once(old: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(old, copy)
    plan = plan_of(TREE)
    own = [plan.space.default()[0], {**plan.space.default()[0], "optimizer.lr": 5e-3}]
    warm = read_warm([str(old), str(copy)], plan, own)
    once = told(old)
    assert [r.params for r in warm.records] == [r.params for r in once.records]
    assert [*warm.first[:2]] == own
    assert len(warm.first) <= 2 + BEST_FEW
    assert len(warm.notes) == 2
    assert warm.notes[1].startswith(f"{copy}: 0 observations")


def test_it_is_kept_in_the_run_folder(old: Path, tmp_path: Path) -> None:
    warm = told(old)
    assert warm_of(json.loads(json.dumps(warm.tree()))) == warm
    write_start(tmp_path, warm)
    assert read_start(tmp_path, plan_of(TREE)) == warm
    plan = plan_of(TREE)
    nothing = read_start(tmp_path / "elsewhere", plan)
    assert nothing == Warm(first=(plan.space.default()[0],))
    newer = {**warm.tree(), "schema_version": 2}
    with pytest.raises(UserError, match="newer"):
        warm_of(newer)


def test_a_sweep_starts_from_it_and_resumes_without_the_other_run(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(tree_with(search__sampler={"name": "tpe", "n_startup_trials": 2}))
    warm = read_warm([str(old)], plan, [plan.space.default()[0]])
    mirrored: list[int] = []
    update = StudyLog.update
    monkeypatch.setattr(
        StudyLog, "update",
        lambda log, entry: (mirrored.append(entry.record.number), update(log, entry))[1],
    )  # fmt: skip
    with Ledger.create(tmp_path / "new") as ledger:
        play(plan, ledger, warm, tmp_path / "study.log")
        whole = [dict(trial.params) for trial in ledger.trials.values()]
    assert whole[: len(warm.first)] == [*warm.first]
    assert {number for number in mirrored if mirrored.count(number) != 2} == set()
    with Ledger.create(tmp_path / "cold") as ledger:
        play(plan, ledger, Warm(first=warm.first))
        cold = [dict(trial.params) for trial in ledger.trials.values()]
    assert cold[len(warm.first)] != whole[len(warm.first)], "the observations matter"
    assert all(isinstance(record, PastTrial) for record in warm.records)


def test_folders_without_a_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^search\.warm_start: .*nowhere.* holds no run") as caught:
        require_runs([str(tmp_path / "nowhere")])
    assert "\n" not in str(caught.value)
