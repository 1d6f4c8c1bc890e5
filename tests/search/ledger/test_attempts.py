"""Attempts that did not end their trial stay on record: in the log, in files, after any crash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from search.ledger.attempts import ATTEMPTS, Attempt, repeated
from search.ledger.ledger import Ledger
from search.ledger.reader import read_book
from tests.search.ledger.test_ledger import crash, row


def lose(ledger: Ledger, trial: int, reason: str = "gone", **more: Any) -> None:
    attempt = ledger.begin_attempt(trial)
    assert ledger.preempt(trial, attempt, reason, **more)


def fill(ledger: Ledger) -> None:
    """Trial 0 is lost once, runs and crashes; trial 300 of another file is lost twice."""
    for number in range(301):
        ledger.add_trial(stage="explore", params={}, config={}, seed=number)
    lose(ledger, 0, "No space\nleft", cause="machine", host="h", node="n", pid=7, repeated=2.5)
    attempt = ledger.begin_attempt(0)
    ledger.acknowledge(0, attempt, row(1), "checkpoints/0/2/1")
    ledger.finish(0, "crashed", 0.0, "OSError: full")
    lose(ledger, 300, cause="node")
    lose(ledger, 300, repeated=1.0)


def known(folder: Path) -> dict[int, list[Attempt]]:
    return read_book(folder).attempts


def test_what_is_recorded_is_read_from_the_log_and_from_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with Ledger.create(folder) as ledger:
        fill(ledger)
        first, retried = ledger.attempts[0][0], ledger.attempts[300][1]
        assert (first.attempt, first.cause, first.reason) == (1, "machine", "No space left")
        assert (first.host, first.node, first.pid, first.repeated) == ("h", "n", 7, 2.5)
        assert first.started is not None
        assert first.at is not None
        assert (retried.attempt, retried.cause, retried.mark) == (2, "worker", 0)
        assert repeated(ledger.attempts) == 3.5
        from_log = known(folder)
        assert from_log == ledger.attempts
        assert not (folder / "attempts").exists()
    assert known(folder) == from_log
    table = ds.dataset(folder / "attempts").to_table()
    assert table.schema.names == ATTEMPTS.names
    assert table["trial"].to_pylist() == [0, 300, 300]
    assert {p.name for p in (folder / "attempts").iterdir()} == {"000000.parquet", "000256.parquet"}


def test_an_outcome_that_is_taken_back_stays_on_record(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ledger = Ledger.create(folder)
    fill(ledger)
    ledger.compact()
    ended = ledger.trials[0].finished
    ledger.retry(0)
    trial = ledger.trials[0]
    assert (trial.outcome, trial.score, trial.reason, trial.finished) == (None, None, "", None)
    assert (trial.mark, trial.checkpoint) == (1, "checkpoints/0/2/1")
    burnt = ledger.attempts[0][-1]
    assert (burnt.attempt, burnt.outcome, burnt.cause) == (2, "crashed", "retried")
    assert (burnt.reason, burnt.at) == ("OSError: full", ended)
    crash(ledger)
    with Ledger.open(folder) as ledger:
        assert (ledger.trials[0].outcome, ledger.attempts[0][-1]) == (None, burnt)
        assert ledger.begin_attempt(0) == 3
        assert ledger.acknowledge(0, 3, row(2))
        ledger.finish(0, "crashed", 0.0, "again")
        ledger.retry(0, afresh=True)
        assert (ledger.trials[0].mark, ledger.trials[0].checkpoint) == (2, None)
    assert [one.outcome for one in known(folder)[0]] == ["preempted", "crashed", "crashed"]
    with Ledger.open(folder) as ledger, pytest.raises(AssertionError, match="no failure"):
        ledger.retry(300)


@pytest.mark.parametrize("before", ["attempts", "trials", "unlink"])
def test_a_compaction_cut_short_neither_loses_nor_doubles_an_attempt(
    tmp_path: Path, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    ledger = Ledger.create(folder)
    fill(ledger)
    expected = {number: list(many) for number, many in ledger.attempts.items()}
    counted = [trial.preempted for trial in ledger.trials.values()]

    class CutError(Exception):
        pass

    def cut(*_: Any, **__: Any) -> None:
        raise CutError

    with monkeypatch.context() as patch:
        where = {
            "attempts": "search.ledger.ledger.write_attempts",
            "trials": "search.ledger.ledger.write_part",
            "unlink": "pathlib.Path.unlink",
        }
        patch.setattr(where[before], cut)
        with pytest.raises(CutError):
            ledger.compact()
    assert known(folder) == expected
    crash(ledger)
    with Ledger.open(folder) as ledger:
        assert ledger.attempts == expected
        assert [trial.preempted for trial in ledger.trials.values()] == counted
    assert known(folder) == expected


def test_a_log_of_before_says_less(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with Ledger.create(folder) as ledger:
        ledger.add_trial(stage="explore", params={}, config={}, seed=0)
        ledger.begin_attempt(0)
    records = [
        {"schema_version": 2, "next": 3},
        {"n": 3, "t": 0, "k": "preempted", "attempt": 1, "reason": "the worker died"},
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "log" / "000009.jsonl").write_text(lines)
    assert known(folder) == {0: [Attempt(trial=0, attempt=1, reason="the worker died")]}
    with Ledger.open(folder) as ledger:
        assert ledger.trials[0].preempted == 1
    assert known(folder)[0][0].reason == "the worker died"


def test_a_state_that_was_saved_at_a_stop_is_what_the_trial_goes_on_from(tmp_path: Path) -> None:
    folder, saved = tmp_path / "run", "checkpoints/0/1/2"
    ledger = Ledger.create(folder)
    ledger.add_trial(stage="explore", params={}, config={}, seed=0)
    attempt = ledger.begin_attempt(0)
    ledger.acknowledge(0, attempt, row(1), "checkpoints/0/1/1")
    assert ledger.preempt(0, attempt, "asked to stop", cause="stopped", checkpoint=saved)
    crash(ledger)
    with Ledger.open(folder) as ledger:
        assert (ledger.trials[0].checkpoint, ledger.trials[0].mark) == (saved, 1)
        assert [one.cause for one in ledger.attempts[0]] == ["stopped"]
        ledger.compact()
    assert read_book(folder).trials[0].checkpoint == saved
