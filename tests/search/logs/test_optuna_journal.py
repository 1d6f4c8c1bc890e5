"""The study's journal: opens with Optuna, tells each candidate once, and survives a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from search.logs.optuna_journal import BATCH, FLUSH_SECONDS, Entry, StudyLog
from search.objectives.objective import Direction
from search.samplers.history import PastTrial
from search.testing.samplers import SPACES

SPACE = SPACES["conditional"]


def opened(path: Path, name: str = "sweep-1") -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(path)))
    assert optuna.get_all_study_names(storage) == [name]
    return optuna.load_study(study_name=name, storage=storage)


def entries(count: int, objectives: int = 1, first: int = 0) -> list[Entry]:
    rng = np.random.default_rng(0)
    found = []
    for number in range(first, count):
        params, _ = SPACE.sample(rng)
        outcome = ["completed", "pruned", "diverged", "infeasible", "stopped"][number % 5]
        values = () if outcome == "infeasible" else (float(rng.random()),) * objectives
        rungs = {0: 0.25, 2: 0.5} if outcome in ("completed", "pruned") else {}
        broken = {"mean_steps <= 6": 1.5} if number % 10 == 0 else {}
        record = PastTrial(number, params, outcome, values, rungs, broken, 0.5)
        found.append(Entry(record, {"trials": [number], "outcome": outcome, "reason": "because"}))
    return found


def log_at(path: Path, found: list[Entry], **values: Any) -> StudyLog:
    return StudyLog(path, "sweep-1", SPACE, ("maximize",), ["accuracy"], found, **values)


def same(one: optuna.Study, other: optuna.Study) -> None:
    for left, right in zip(one.trials, other.trials, strict=True):
        for what in ("number", "state", "params", "distributions", "values",
                     "intermediate_values", "constraints", "user_attrs"):  # fmt: skip
            assert getattr(left, what) == getattr(right, what), (left.number, what)


@pytest.mark.parametrize("lag", [1, 4])
def test_what_is_written_as_it_happens_is_what_is_rebuilt(tmp_path: Path, lag: int) -> None:
    found = entries(23)
    log_at(tmp_path / "rebuilt", found)
    log = log_at(tmp_path / "live", [], clock=iter(np.arange(0, 1e4, FLUSH_SECONDS / 2)).__next__)
    for number, entry in enumerate(found):
        running = PastTrial(number, entry.record.params)
        log.update(Entry(running, {"trials": [number]}))
        if number >= lag:
            log.update(found[number - lag])
    for entry in found[-lag:]:
        log.update(entry)
    log.close()
    same(opened(tmp_path / "live"), opened(tmp_path / "rebuilt"))
    study = opened(tmp_path / "live")
    assert study.metric_names == ["accuracy"]
    assert study.trials[7].user_attrs == {
        "trials": [7], "outcome": "diverged", "reason": "because"
    }  # fmt: skip
    assert study.trials[0].constraints == {"mean_steps <= 6": 1.5}
    feasible = [entry.record for entry in found if entry.record.outcome == "completed"]
    best = max((r for r in feasible if not r.violations), key=lambda record: record.values[0])
    assert study.best_trial.number == best.number


def test_it_is_written_in_batches(tmp_path: Path) -> None:
    now = [0.0]
    log = log_at(tmp_path / "study.log", [], clock=lambda: now[0])
    for entry in entries(6):
        now[0] += FLUSH_SECONDS / 4
        log.update(entry)
        assert len(opened(tmp_path / "study.log").trials) == (4 if entry.record.number >= 3 else 0)
    log.close()
    assert len(opened(tmp_path / "study.log").trials) == 6


def test_a_killed_drivers_journal_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    found = entries(20)
    log_at(path, found[:12])
    with path.open("a") as file:
        file.write('{"op_code": 4, "wor')
    for lock in (f"{path}.lock", f"{path}.tmp.lock"):
        Path(lock).symlink_to(path)
    log = log_at(path, found[:15])
    for entry in found[15:]:
        log.update(entry)
    log.close()
    assert sorted(child.name for child in tmp_path.iterdir()) == ["study.log"]
    assert len(opened(path).trials) == 20


def test_warm_start_records_come_first_with_their_origin(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    warm = [
        Entry(
            PastTrial(number, SPACE.sample(rng)[0], "completed", (0.1 - number,)),
            {"warm_start": f"runs/old#{-number}"},
        )
        for number in (-1, -2, -3)
    ]
    log = log_at(tmp_path / "log", [*warm, *entries(2)])
    log.update(entries(3)[2])
    log.close()
    trials = opened(tmp_path / "log").trials
    assert [trial.user_attrs.get("warm_start") for trial in trials[:4]] == [
        "runs/old#3", "runs/old#2", "runs/old#1", None
    ]  # fmt: skip
    assert [trial.user_attrs["trials"] for trial in trials[3:]] == [[0], [1], [2]]


def test_several_objectives(tmp_path: Path) -> None:
    directions: tuple[Direction, ...] = ("maximize", "minimize")
    log = StudyLog(
        tmp_path / "log", "many", SPACE, directions, ["accuracy", "mean_steps"], entries(20, 2)
    )
    log.close()
    study = opened(tmp_path / "log", "many")
    assert study.metric_names == ["accuracy", "mean_steps"]
    assert [direction.name.lower() for direction in study.directions] == [*directions]
    assert {study.trials[t.number].user_attrs["outcome"] for t in study.best_trials} == {
        "completed"
    }


def test_many_candidates_are_rebuilt_in_batches(tmp_path: Path) -> None:
    count = 2 * BATCH + 7
    log_at(tmp_path / "log", entries(count))
    trials = opened(tmp_path / "log").trials
    assert [trial.number for trial in trials] == [*range(count)]
    assert all(trial.state.is_finished() for trial in trials)


def test_times_are_the_ledgers(tmp_path: Path) -> None:
    (entry,) = entries(1)
    times = ("2024-05-01T10:00:00+00:00", "2024-05-01T10:05:00+00:00")
    log_at(tmp_path / "log", [Entry(entry.record, {}, *times)])
    (trial,) = opened(tmp_path / "log").trials
    assert trial.duration is not None
    assert trial.duration.total_seconds() == 300
