"""A scheduler's decisions on a run: what is decided anew on resume, and when waiting ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from search.explore.early_stopping import EarlyStopping
from search.ledger.book import Book
from search.ledger.trial import Trial
from search.schedulers.halving import HalvingConfig
from tests.support.recordings import row

FLOOR = -1.0


def objective(report: Mapping[str, Any]) -> float:
    return float(report["exact_accuracy"])


def steered(book: Book, config: HalvingConfig | None = None) -> EarlyStopping:
    """As a new driver finds the book."""
    config = config or HalvingConfig()
    scheduler = config.build(slow_start=False)
    steering = EarlyStopping(config, scheduler, book, list(book.trials.values()), objective, FLOOR)
    steering.settle()
    return steering


def begun(book: Book, steering: EarlyStopping) -> Trial:
    trial = book.add_trial(stage="explore", params={}, config={}, seed=0)
    steering.add(trial)
    book.begin_attempt(steering.start(trial).id)
    return trial


def told(book: Book, steering: EarlyStopping | None, trial: Trial, mark: int, score: float) -> Any:
    """A report at 2, 4 or 12 twelfths, decided on unless the driver dies before."""
    share = {1: 2 / 12, 2: 4 / 12, 3: 1.0}[mark]
    report = row(mark, share, score)
    assert book.acknowledge(trial.id, trial.attempts, report)
    if steering is None:
        return None
    decision = steering.on_report(trial, report)
    if decision == "pause":
        book.pause(trial.id)
    return decision


def test_what_waits_still_waits_after_a_restart() -> None:
    book = Book()
    steering = steered(book)
    trials = [begun(book, steering) for _ in range(3)]
    assert [told(book, steering, t, 1, 0.5 - t.id / 10) for t in trials] == ["pause"] * 3
    again = steered(book)
    assert not again.unfinished
    assert again.waiting
    assert again.promote() is trials[0]
    assert again.promote() is None


def test_a_report_that_was_not_decided_on_is_and_others_are_not() -> None:
    book = Book()
    steering = steered(book)
    first, second, third = (begun(book, steering) for _ in range(3))
    told(book, steering, first, 1, 0.1)
    told(book, steering, second, 1, 0.2)
    book.begin_attempt(first.id)  # a decision that this one goes on, whatever it would be now
    told(book, None, third, 1, 0.05)
    again = steered(book)
    assert list(again.unfinished) == [first]
    assert (second.paused, third.paused) == (True, True)


def test_a_restart_ends_what_broke_while_the_driver_died() -> None:
    book = Book()
    steering = steered(book)
    trial = begun(book, steering)
    told(book, None, trial, 1, math.nan)
    again = steered(book)
    assert (trial.outcome, trial.score) == ("diverged", FLOOR)
    assert not again.unfinished


def test_nothing_is_given_up_while_a_trial_runs() -> None:
    book = Book()
    steering = steered(book)
    waits, runs = begun(book, steering), begun(book, steering)
    told(book, steering, waits, 1, 0.5)
    assert steering.finish() == (None, [])
    told(book, steering, runs, 1, 0.4)
    trial, ended = steering.finish()
    assert (trial, ended) == (waits, [])
    book.begin_attempt(waits.id)
    assert told(book, steering, waits, 2, 0.6) == "pause"
    assert steering.finish() == (waits, [])
    book.begin_attempt(waits.id)
    told(book, steering, waits, 3, 0.7)
    book.finish(waits.id, "completed", 0.7)
    steering.on_end(waits)
    assert steering.finish() == (None, [runs])
    assert (runs.outcome, runs.score) == ("pruned", 0.4)
    assert not steering.waiting


def test_given_up_trials_leave_no_checkpoint() -> None:
    class Shelf(Book):
        def __init__(self) -> None:
            super().__init__()
            self.forgotten: list[tuple[int, str | None]] = []

        def forget_checkpoints(self, trial_id: int, keep: str | None) -> None:
            self.forgotten.append((trial_id, keep))

    book = Shelf()
    steering = steered(book)
    trials = [begun(book, steering) for _ in range(2)]
    for trial in trials:
        told(book, steering, trial, 1, 0.5)
    first, _ = steering.finish()
    assert first is trials[0]
    book.finish(first.id, "crashed", FLOOR)
    steering.on_end(first)
    second, _ = steering.finish()
    assert second is trials[1], "a failure passes its place on"
    book.finish(second.id, "completed", 0.5)
    steering.on_end(second)
    third = begun(book, steering)
    told(book, steering, third, 1, 0.4)
    assert steering.finish() == (None, [third])
    assert {number for number, _ in book.forgotten} == {third.id}
    assert book.forgotten[-1] == (third.id, None)


def test_rungs_hold_the_objective_whatever_ranks() -> None:
    book = Book()
    config = HalvingConfig(metric="train_loss")
    steering = steered(book, config)
    trial = begun(book, steering)
    told(book, steering, trial, 1, 0.3)
    assert steering.rungs(0) == {0: 0.3}
    assert steered(book, config).rungs(0) == {0: 0.3}
    assert steering.rungs(7) == {}
