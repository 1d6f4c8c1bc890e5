"""What the engine does with what workers say, in plain Python."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from search.engine.events import NoEvents
from search.engine.execution import Execution
from search.engine.job import Job
from search.ledger.ledger import Ledger
from search.ledger.room import Room
from search.ledger.trial import Trial
from tests.support.executed import (
    execution,
    report,
    start,
)
from trm.blame import StorageError


def test_an_attempt_from_start_to_end(ledger: Ledger) -> None:
    run = execution(ledger)
    job = run.suggest("a")
    assert isinstance(job, Job)
    assert (job.trial, job.attempt, job.seed, job.checkpoint) == (0, 1, 5, None)
    assert run.suggest("b") is None, "the running trial may have to be run again"
    assert run.on_message("a", {"kind": "started", "attempt": 1, "host": "h", "pid": 1}) == (
        "continue"
    )
    assert run.on_message("a", report(1, 1)) == "continue"
    assert run.on_message("a", report(1, 2, last=True)) == "stop"
    assert ledger.trials[0].outcome == "completed"
    assert ledger.trials[0].score == 0.2
    run.on_end("a")
    assert run.suggest("c") == "finished"


def test_a_worker_says_once_who_it_is(ledger: Ledger) -> None:
    ledger.add_trial(stage="explore", params={}, config={}, seed=6)
    heard: list[tuple[int, str]] = []

    class Heard(NoEvents):
        def started(self, trial: Trial, worker: str) -> None:
            heard.append((trial.id, worker))

    run = execution(ledger, Heard())
    for name in ("a", "b"):
        run.suggest(name)
        run.on_start(name, "worker")
        if name == "a":
            assert not heard, "nobody knows the worker yet"
            run.on_message(name, {"kind": "started", "attempt": 1, "host": "h", "pid": 7})
        assert run.running.pids == {name: 7}
        run.on_message(name, report(1, 1, last=True))
        run.on_end(name)
    run.on_start("unknown", "worker")
    assert heard == [(0, "h:7"), (1, "h:7")]
    assert not run.running.pids


def test_a_worker_on_a_node_that_has_not_proved_itself_does_not_train(ledger: Ledger) -> None:
    run = execution(ledger)
    run.allows = lambda node: node == "able"
    run.barred = lambda: ["joined"]
    job = run.suggest("a")
    assert isinstance(job, Job)
    started = {"kind": "started", "attempt": 1, "host": "h", "pid": 1}
    assert run.on_message("a", {**started, "node": "joined"}) == "replace"
    assert run.left_out() == {"joined"}
    start(run, "b", "able")
    assert run.running.live["b"][1] == 2


class Storage(Room):
    """A run folder whose storage says what a test wants."""

    def __init__(self) -> None:
        super().__init__(Path("run"))
        self.problem = ""
        self.lines: list[str] = []
        self.say = self.lines.append
        self.seconds = 60.0

    def refuses(self, needed: int = 0) -> str:
        return self.problem


def refusal(run: Execution, name: str) -> Any:
    words = {"kind": "storage", "attempt": 1, "reason": "No space left", "needed": 3 << 20}
    return run.on_message(name, words)


def test_storage_that_is_full_holds_everybody_until_it_takes_something(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.ledger.room.ASK_SECONDS", 0.0)
    ledger.add_trial(stage="explore", params={}, config={}, seed=6)
    run = execution(ledger)
    run.room = room = Storage()
    start(run, "a")
    room.problem = "No space left"
    assert refusal(run, "a") == "continue"
    assert refusal(run, "a") == "continue"
    assert room.lines == [
        "run: No space left; 3 MiB are needed: free space there or make it writable; the sweep "
        "waits and goes on by itself, for 1 min at most"
    ]
    assert run.suggest("b") is None
    assert not run.check_stop()
    room.problem = ""
    assert isinstance(run.suggest("b"), Job)
    assert run.on_message("a", report(1, 1)) == "continue"
    assert len(room.lines) == 2
    assert not ledger.attempts, "nothing was lost"


def test_storage_that_never_comes_back_ends_the_run(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.ledger.room.ASK_SECONDS", 0.0)
    run = execution(ledger)
    run.room = room = Storage()
    start(run, "a")
    room.problem, room.seconds = "Read-only file system", 0.01
    refusal(run, "a")
    time.sleep(0.02)
    with pytest.raises(StorageError, match=r"Read-only file system; 3 MiB are needed.*and resume"):
        run.check_stop()
    assert ledger.trials[0].outcome is None


def test_a_node_that_alone_cannot_write_is_the_one_at_fault(ledger: Ledger) -> None:
    run = execution(ledger)
    run.room = Storage()
    start(run, "a")
    assert [refusal(run, "a") for _ in range(3)] == ["continue", "continue", "replace"]
    assert ledger.attempts[0][0].cause == "machine"


def test_a_paused_trial_frees_its_worker_and_goes_on_from_its_checkpoint(ledger: Ledger) -> None:
    run = execution(ledger)
    run.suggest("a")
    run.source.on_report = lambda trial, row: "pause"  # type: ignore[method-assign]
    assert run.on_message("a", report(1, 1)) == "stop"
    run.on_end("a")
    trial = ledger.trials[0]
    assert (trial.paused, trial.outcome) == (True, None)
    run.source.left.append(trial)  # type: ignore[attr-defined]
    job = run.suggest("b")
    assert isinstance(job, Job)
    assert (job.attempt, job.checkpoint) == (2, "checkpoints/0/1/1")
    assert not trial.paused
    assert run.on_message("b", report(2, 2, last=True)) == "stop"
    assert trial.outcome == "completed"


def test_stopping_leaves_the_trial_unfinished(ledger: Ledger) -> None:
    run = execution(ledger)
    run.suggest("a")
    run.asked_to_stop = lambda: True
    assert run.check_stop()
    run.on_death("a", "killed by us")
    assert run.suggest("b") == "finished"
    assert (ledger.trials[0].outcome, ledger.trials[0].preempted) == (None, 0)


def test_a_gentle_end_waits_until_every_worker_has_saved(ledger: Ledger) -> None:
    for seed in (6, 7, 8):
        ledger.add_trial(stage="explore", params={}, config={}, seed=seed)
    run, left = execution(ledger), []
    run.leave = lambda: left.append(True)
    for number, name in enumerate("abc"):
        assert isinstance(run.suggest(name), Job)
        run.on_start(name, f"worker {name}")
        if name != "c":
            who = {"kind": "started", "attempt": 1, "host": f"h{number}", "pid": 7 + number}
            assert run.on_message(name, who) == "continue"
    run.end_gently(1000.0)
    assert run.suggest("d") is None, "nothing more begins"
    assert not run.check_stop()
    assert run.on_message("a", report(1, 1)) == "stop", "what it reported is saved"
    run.on_end("a")
    assert not run.check_stop()
    saved = "checkpoints/1/1/1"
    assert run.on_message("b", {"kind": "saved", "attempt": 1, "checkpoint": saved}) == "stop"
    run.on_end("b")
    # The third has nothing to save yet.
    assert run.check_stop()
    assert (run.interrupted, left) == (True, [True])
    assert run.suggest("d") == "finished"
    assert [trial.outcome for trial in ledger.trials.values()] == [None] * 4
    assert ledger.trials[0].checkpoint == "checkpoints/0/1/1"
    assert ledger.trials[1].checkpoint == saved
    [kept] = ledger.attempts[1]
    assert (kept.cause, kept.host, kept.repeated) == ("stopped", "h1", 0.0)
    assert run.guilt.faults(ledger.trials[1]) == 0


def test_a_gentle_end_does_not_wait_for_ever(ledger: Ledger) -> None:
    run = execution(ledger)
    assert isinstance(run.suggest("a"), Job)
    run.on_start("a", "worker")
    run.on_message("a", {"kind": "started", "attempt": 1, "host": "h", "pid": 1})
    run.end_gently(0.2)
    assert not run.check_stop()
    time.sleep(0.25)
    assert run.check_stop()
    assert run.interrupted
