"""Whole sweeps of toy trainings with each scheduler, and what must hold of them after kills."""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from cluster.connect import connected
from search.config.limits import LimitsConfig, Meter
from search.config.plan import Plan, read_plan
from search.engine.job import Job
from search.engine.ray_tune import run_trials
from search.ledger.journal import Journal, JournalRecord
from search.ledger.ledger import Ledger
from search.ledger.lineage import GENERATION, PARENT
from search.ledger.reader import holds_ledger, read_curves, read_trials
from search.ledger.trial import Trial
from search.logs.optuna_journal import STUDY_FILE
from search.logs.terminal import SweepDisplay
from search.sweep.stages import SweepStages as RealStages
from tests.support.folders import ROOT
from tests.support.planned import planned
from tests.support.toy_training import SWEPT, SweptTraining
from trm.tasks.base import Task

FAILURES = ("diverged", "collapsed", "oom", "crashed")
SCHEDULERS: dict[str, Any] = {
    "asha": {"name": "asha", "eta": 2.0, "min_share": 0.25},
    "hyperband": {"name": "hyperband", "eta": 2.0, "min_share": 0.25},
    "median": {"name": "median", "grace": 0.25, "decisions": 3, "min_trials": 2},
    "halving": {"name": "halving", "eta": 2.0, "min_share": 0.25},
    "none": "none",
    "pbt": {"name": "pbt", "members": 4, "generations": 4, "quantile": 0.5,
            "learn": ["H_cycles", "learning_rate"]},
}  # fmt: skip


def tree(scheduler: str, trials: int, pause: int, seeds: int = 1) -> dict[str, Any]:
    """A sweep's file; one in seven learning rates diverges at the second report.

    Args:
        pause: milliseconds of training a report.
    """
    return {
        "name": "killable",
        "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 40,
                 "valid_examples": 10, "test_examples": 10},
        "model": {"mixer": "mlp_t", "hidden_size": 16, "L_layers": 1, "expansion": 1.0,
                  "swiglu_multiple": 16, "puzzle_emb_len": 1, "H_cycles": 2, "L_cycles": 2,
                  "halt_max_steps": 2},
        "optimizer": {
            "name": "adamw",
            "lr": {"loguniform": {"low": 0.02, "high": 2.0, "default": 0.1}},
        },
        "train": {"batch_size": pause, "budget": {"steps": 40},
                  "reports": 1 if scheduler == "pbt" else 4},
        "search": {
            "scheduler": SCHEDULERS[scheduler],
            "sampler": {"name": "tpe", "n_startup_trials": 4},
            **({} if scheduler == "pbt" else {"trials": trials, "seeds": seeds}),
        },
        "stability": {"candidates": 2, "seeds": 2, "promise_seeds": 2},
    }  # fmt: skip


def resolved(scheduler: str, trials: int, pause: int, seeds: int = 1) -> Plan:
    file = tree(scheduler, trials, pause, seeds)
    return planned(file)


class Stages(RealStages):
    """The real stages; a toy's score on `test` is its last one."""

    def __init__(self, plan: Plan, ledger: Ledger) -> None:
        meter = Meter(
            LimitsConfig(), plan.budget, 1, 1, lambda: 0.0, lambda: (0.0, 0.0), ledger.trials
        )
        super().__init__(plan, ledger, _task(plan), SweepDisplay(quiet=True), meter, explore=True)

    def _test_one(self, trial: Trial) -> float:
        assert trial.score is not None
        return trial.score


_tasks: dict[str, Task] = {}


def _task(plan: Plan) -> Task:
    key = plan.default.task.model_dump_json()
    if key not in _tasks:
        _tasks[key] = plan.default.task.build()
    return _tasks[key]


def drive(folder: Path) -> None:
    """Go on with the run in a folder, on a Ray of its own, to its end, unless told to die."""
    plan = read_plan(folder)
    _obey(folder / DIE_AT)
    with Ledger.open(folder) if holds_ledger(folder) else Ledger.create(folder) as ledger:
        stages = Stages(plan, ledger)
        if stages.has_work():
            with connected(cpus=3):
                run_trials(
                    stages, ledger, parallel=3, budget=plan.budget, marks=plan.marks,
                    path=[str(ROOT)], factory=SWEPT,
                )  # fmt: skip
        assert stages.result is not None
        stages.result.save(folder)


DIE_AT = "die-at"
"""A file in the run folder: a moment, and how often the driver comes there before it dies."""

MOMENTS = {
    "acknowledged": ("after", "row"),
    "pausing": ("before", "pause"),
    "paused": ("after", "pause"),
    "promoting": ("before", "attempt"),
    "begun": ("after", "attempt"),
    "ending": ("before", "end"),
    "ended": ("after", "end"),
    "drawing": ("after", "trial"),
}
"""Beside which record of the log a driver is killed; promoting, only of trials that go on."""


def _obey(order: Path) -> None:
    """SIGKILL of this process at the moment that is ordered."""
    append = Journal.append
    moment, left = "", 0

    def appending(journal: Journal, record: JournalRecord) -> int:
        nonlocal moment, left
        if order.exists():
            moment, times = order.read_text().split()
            left = int(times)
            order.unlink()
        side, kind = MOMENTS.get(moment, ("", ""))
        here = record["k"] == kind and (moment != "promoting" or record["attempt"] > 1)
        left -= here
        if here and left <= 0 and side == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        number = append(journal, record)
        if here and left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    Journal.append = appending  # type: ignore[method-assign]


@dataclass(frozen=True)
class Facts:
    """What a run folder tells to the outside."""

    trials: dict[int, Trial]
    rows: dict[tuple[int, int], dict[str, Any]]


def look(folder: Path) -> Facts:
    """The facts of this moment, as any reader finds them; nothing before there is a run."""
    if not (folder / "trials").is_dir():
        return Facts({}, {})
    trials, rows = read_trials(folder), read_curves(folder).to_pylist()
    # A second row of the same mark would hide the first.
    assert len({(row["trial"], row["mark"]) for row in rows}) == len(rows), "a report stands twice"
    return Facts(trials, {(row["trial"], row["mark"]): row for row in rows})


def assert_kept(before: Facts, after: Facts) -> None:
    """Everything that was seen is still there, and the same."""
    for number, trial in before.trials.items():
        now = after.trials[number]
        assert (now.params, now.config, now.seed) == (trial.params, trial.config, trial.seed)
        if trial.outcome is not None:
            assert now == trial, "an outcome changed"
        assert now.attempts >= trial.attempts
    for key, row in before.rows.items():
        assert json.dumps(after.rows[key]) == json.dumps(row), f"report {key} was lost or changed"


def assert_can_go_on(folder: Path, facts: Facts) -> None:
    """Whatever is unfinished finds the checkpoint that it goes on from."""
    for trial in facts.trials.values():
        if trial.outcome is None and trial.checkpoint is not None:
            assert (folder / trial.checkpoint / "state.json").is_file(), trial


def assert_finished(folder: Path, plan: Plan) -> Facts:
    """All that must hold of a sweep that ended, however often it was killed."""
    facts = look(folder)
    trials, marks = list(facts.trials.values()), len(plan.marks)
    population = bool(plan.generations)
    searched = [t for t in trials if t.stage in ("population", "explore") and t.candidate == t.id]
    assert len(searched) == plan.wanted
    for trial in searched:
        seeds = [t.seed for t in trials if t.stage == "explore" and t.candidate == trial.id]
        assert len(set(seeds)) == len(seeds), "a seed ran twice"
        if not population:
            assert len(seeds) == (plan.seeds if trial.outcome == "completed" else 1)
    curves: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for key in sorted(facts.rows):
        curves[key[0]].append(facts.rows[key])
    for trial in trials:
        curve = curves[trial.id]
        assert trial.outcome in ("completed", "pruned", "diverged"), trial
        assert not trial.paused
        first = trial.params[GENERATION] + 1 if trial.stage == "population" else 1
        assert [row["mark"] for row in curve] == list(range(first, trial.mark + 1))
        assert curve[-1]["diverged"] == (trial.outcome == "diverged")
        if trial.outcome != "diverged":
            assert trial.score == plan.objective.value(curve[-1])
        else:
            assert trial.score == 0.0
        ends = first if trial.stage == "population" else marks
        assert (trial.mark == ends) == (trial.outcome == "completed") or curve[-1]["diverged"]
        alone = undisturbed(json.dumps(trial.config), trial.seed, plan.marks, plan.budget)
        for row in curve:
            mine = {k: v for k, v in row.items() if k not in ("trial", "attempt")}
            assert json.dumps(mine) == json.dumps({k: alone[row["mark"] - 1][k] for k in mine})
        # A restart from zero in spite of a checkpoint would give the same curve.
        last = [row["mark"] for row in curve if row["attempt"] == trial.attempts]
        assert not last or trial.provenance["went_on_from"] == last[0] - 1, trial
        if trial.outcome == "completed" and trial.stage != "population":
            assert (folder / str(trial.checkpoint) / "state.json").is_file()
    lie = {str(p.parent.relative_to(folder)) for p in folder.glob("checkpoints/*/*/*/state.json")}
    last = {
        t.checkpoint for t in trials if t.params.get(GENERATION) in (None, plan.generations - 1)
    }
    assert lie <= last, "what nobody needs was kept"
    if population:
        members = [t for t in searched if t.params[PARENT] is None]
        assert len(members) == plan.wanted // plan.generations
        assert len({(t.params[GENERATION], t.params["member"]) for t in searched}) == len(searched)
    else:
        assert_told_once(folder, plan, searched)
    later = [t for t in trials if t.stage not in ("population", "explore")]
    runs = {(t.stage, t.candidate, t.seed) for t in later}
    assert len(runs) == len(later), "a seed ran twice"
    confirmed = Counter(candidate for stage, candidate, _ in runs if stage == "confirm")
    assert 1 <= len(confirmed) <= plan.sections.stability.candidates
    assert min(confirmed.values()) >= plan.sections.stability.seeds
    assert sum(confirmed.values()) <= plan.sections.stability.runs()
    return facts


def assert_told_once(folder: Path, plan: Plan, searched: list[Trial]) -> None:
    """Optuna's study holds every trial of the search once, as the ledger has it."""
    storage = JournalStorage(JournalFileBackend(str(folder / STUDY_FILE)))
    told = optuna.load_study(study_name=plan.run_id, storage=storage).trials
    assert [t.number for t in told] == list(range(len(searched)))
    for trial, other in zip(searched, told, strict=True):
        assert other.params == trial.params
        state = TrialState.PRUNED if trial.outcome == "pruned" else TrialState.COMPLETE
        assert other.state == state
        assert plan.seeds > 1 or other.value == trial.score or state == TrialState.PRUNED


@cache
def undisturbed(
    config: str, seed: int, marks: tuple[float, ...], budget: float
) -> list[dict[str, Any]]:
    """The curve of a config, trained without Ray, ledger or interruption."""
    random.seed(seed)
    job = Job("", 0, 1, json.loads(config), seed, budget, marks)
    return [report.row() for report in SweptTraining(job).run()]
