"""How trials get their outcomes."""

from __future__ import annotations

import math

from search.engine.job import Job
from search.ledger.ledger import Ledger
from tests.support.executed import (
    execution,
    report,
    row,
    start,
)


def test_marks_that_are_known_are_not_judged_again(ledger: Ledger) -> None:
    run = execution(ledger)
    run.suggest("a")
    run.on_message("a", report(1, 1))
    run.on_death("a", "gone")
    run.suggest("b")
    assert run.on_message("b", report(2, 1)) == "continue"
    assert run.on_message("b", report(1, 2)) == "stop", "a stale attempt"
    assert run.on_message("b", report(2, 2, last=True)) == "stop"
    assert run.source.judged == [1, 2]  # type: ignore[attr-defined]
    assert [r["attempt"] for r in ledger.curve(0)] == [1, 2]


def test_a_driver_killed_between_last_report_and_outcome_is_made_good(ledger: Ledger) -> None:
    run = execution(ledger)
    run.suggest("a")
    ledger.acknowledge(0, 1, row(1), "checkpoints/0/1/1")
    run = execution(ledger)
    assert isinstance(run.suggest("b"), Job)
    end = {"kind": "end", "attempt": 2, "outcome": "completed", "reason": ""}
    assert run.on_message("b", end) == "stop"
    assert (ledger.trials[0].outcome, ledger.trials[0].score) == ("completed", 0.1)


def test_a_diverged_trial_is_not_run_again_after_a_killed_driver(ledger: Ledger) -> None:
    run = execution(ledger)
    run.suggest("a")
    ledger.acknowledge(0, 1, row(1, step=7, diverged=True))
    run = execution(ledger)
    assert run.suggest("b") == "finished"
    assert (ledger.trials[0].outcome, ledger.trials[0].score) == ("diverged", -1.0)
    assert run.source.ended == [ledger.trials[0]]  # type: ignore[attr-defined]


def test_a_score_that_is_no_number_is_a_failure(ledger: Ledger) -> None:
    run = execution(ledger)
    run.suggest("a")
    assert run.on_message("a", report(1, 1, last=True, exact_accuracy=math.nan)) == "stop"
    trial = ledger.trials[0]
    assert (trial.outcome, trial.score, trial.reason) == ("diverged", -1.0, "the objective is nan")


def test_a_config_that_breaks_its_device_ends_and_its_worker_goes_with_it(ledger: Ledger) -> None:
    run = execution(ledger)
    start(run, "a")
    end = {"kind": "end", "attempt": 1, "outcome": "crashed", "reason": "assert", "broken": True}
    assert run.on_message("a", end) == "replace"
    assert ledger.trials[0].outcome == "crashed"
