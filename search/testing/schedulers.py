"""What every scheduler promises, as one function for the tests of ours and of others.

>>> from search.schedulers.asha import AshaConfig
>>> check(AshaConfig(), seed=0, workers=2, cut=30)
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

from search.engine.events import NoEvents
from search.engine.execution import Execution
from search.engine.job import Job
from search.engine.source import Verdict
from search.explore.early_stopping import EarlyStopping
from search.ledger.book import Book
from search.ledger.journal import JournalRecord
from search.ledger.trial import Trial
from search.schedulers.scheduler import EarlyStoppingConfig
from search.schedulers.soundness import require_scheduler

TRIALS = 24
MARKS = 12
FLOOR = 0.0
Fact = tuple[int, str | None, float | None, int]


def check(
    config: EarlyStoppingConfig, seed: int = 0, workers: int = 1, cut: int | None = None
) -> None:
    """Play one sweep of made-up trials, killed after `cut` records of its ledger and resumed.

    Some curves are flat or tied, some meet NaN or infinity, diverge or crash. With one worker the
    sweep must end as if it had never been killed.

    Args:
        seed: of the curves and of the order in which workers report.

    Raises:
        AssertionError: the scheduler breaks a promise.
        UserError: it decides what it may not, as in a sweep.
    """
    require_scheduler(config)
    _check_shares(config)
    book = _Book(cut)
    try:
        _play(config, book, seed, workers)
    except _Killed:
        book.left = None
        _play(config, book, seed, workers)
    _check_ends(config, book, seed)
    if workers == 1 and cut is not None:
        whole = _Book(None)
        _play(config, whole, seed, workers)
        assert facts(book) == facts(whole), "the kill changed what became of the trials"


def curve(number: int, seed: int) -> list[dict[str, Any]]:
    """A trial's reports: rising and noisy, with ties, holes and accidents."""
    rng = random.Random(f"{seed}/{number}")
    quality, rate = rng.random(), rng.uniform(1, 9)
    accident = rng.choice([None] * 8 + ["nan", "inf", "diverged", "crash"])
    at = rng.randint(1, MARKS)
    rows = []
    for mark in range(1, MARKS + 1):
        share = mark / MARKS
        score = quality * (1 - math.exp(-rate * share)) + rng.gauss(0, 0.03)
        score = round(min(max(score, 0.0), 1.0), rng.choice([1, 4]))
        if mark == at and accident == "crash":
            break
        if mark == at and accident in ("nan", "inf"):
            score = math.nan if accident == "nan" else math.inf
        rows.append(
            {
                "mark": mark,
                "progress": share,
                "step": round(100 * share * rng.uniform(0.5, 1.5)),
                "train_seconds": 60 * share,
                "exact_accuracy": score,
                "cell_accuracy": score,
                "lm_loss": 1 - score,
                "diverged": mark == at and accident == "diverged",
            }
        )
        if rows[-1]["diverged"]:
            break
    return rows


def facts(book: Book) -> list[Fact]:
    """What became of the trials: id, outcome, score and last mark."""
    return [(t.id, t.outcome, t.score, t.mark) for t in book.trials.values()]


class _Killed(Exception):
    pass


class _Book(Book):
    """Dies once it holds a number of records, as a driver does between any two of them."""

    def __init__(self, left: int | None) -> None:
        super().__init__()
        self.left = left

    def _record(self, trial_id: int, record: JournalRecord) -> None:
        super()._record(trial_id, record)
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                raise _Killed


class _Source:
    floor = FLOOR

    def __init__(self, config: EarlyStoppingConfig, book: Book) -> None:
        trials = list(book.trials.values())
        scheduler = config.build(slow_start=False)
        self.steering = EarlyStopping(config, scheduler, book, trials, self.score, FLOOR)
        self.steering.settle()
        self.book = book

    def next(self) -> Trial | None:
        if self.steering.unfinished:
            return self.steering.start(self.steering.unfinished.popleft())
        if (promoted := self.steering.promote()) is not None:
            return promoted
        if len(self.steering.trials) == TRIALS:
            return self.steering.finish()[0]
        trial = self.book.add_trial(stage="explore", params={}, config={}, seed=0)
        self.steering.add(trial)
        return self.steering.start(trial)

    def beside(self, trial: Trial, most: int) -> list[Trial]:
        return []

    def exhausted(self) -> bool:
        steering = self.steering
        return len(steering.trials) == TRIALS and not (steering.unfinished or steering.waiting)

    def waiting(self) -> int:
        return len(self.steering.unfinished) + TRIALS - len(self.steering.trials)

    def score(self, row: Mapping[str, Any]) -> float:
        return float(row["exact_accuracy"])

    def on_report(self, trial: Trial, row: Mapping[str, Any]) -> Verdict:
        assert trial.outcome is None
        assert not trial.paused
        decision = self.steering.on_report(trial, row)
        assert decision in ("continue", "stop", "pause"), decision
        if not math.isfinite(self.score(row)):
            assert decision == "stop", "a score that is no number went on"
        return decision

    def on_end(self, trial: Trial) -> None:
        self.steering.on_end(trial)


def _play(config: EarlyStoppingConfig, book: Book, curves: int, workers: int) -> None:
    """Run all trials; the worker that reports next is drawn."""
    rng = random.Random(f"{curves}/{len(book.trials)}")
    execution = Execution(
        _Source(config, book),
        book,
        NoEvents(),
        lambda trial, attempt: Job("", trial.id, attempt, {}, 0, 1.0, (1.0,)),
    )
    jobs: dict[str, tuple[Job, int]] = {}
    for count in range(100 * TRIALS * MARKS):
        while len(jobs) < workers:
            name = f"{count}/{len(jobs)}"
            job = execution.suggest(name)
            if not isinstance(job, Job):
                break
            jobs[name] = (job, book.trials[job.trial].mark)
        if not jobs:
            assert job == "finished", "nothing runs, and nothing is given"
            return
        name = rng.choice(sorted(jobs))
        job, mark = jobs[name]
        rows = curve(job.trial, curves)
        outcome = "completed" if mark == MARKS else "crashed"
        message: dict[str, Any] = {"kind": "end", "outcome": outcome, "reason": "an accident"}
        if mark < len(rows):
            message = {"kind": "report", "row": rows[mark], "last": mark + 1 == MARKS}
        if execution.on_message(name, {"attempt": job.attempt, **message}) == "continue":
            jobs[name] = (job, mark + 1)
        else:
            del jobs[name]
            execution.on_end(name)
    raise AssertionError("the sweep never ends")


def _check_shares(config: EarlyStoppingConfig) -> None:
    for slow_start in (False, True):
        shares = config.build(slow_start).shares
        assert list(shares) == sorted(set(shares)), shares
        assert shares[-1] == 1.0, shares
        assert config.marks(slow_start)[-1] == 1.0
        assert not slow_start or config.weighs_early or shares[0] >= 0.25, shares


def _check_ends(config: EarlyStoppingConfig, book: Book, curves: int) -> None:
    """Every trial ended, once, for a reason that its curve bears out."""
    assert len(book.trials) == TRIALS
    for trial in book.trials.values():
        rows = curve(trial.id, curves)[: trial.mark]
        assert not trial.paused
        assert [row["mark"] for row in book.curve(trial.id)] == [row["mark"] for row in rows]
        if trial.outcome == "completed":
            assert trial.mark == MARKS
            assert all(math.isfinite(row["exact_accuracy"]) for row in rows)
        elif trial.outcome == "pruned":
            assert trial.mark < MARKS
        elif trial.outcome == "diverged":
            last = rows[-1]
            assert last["diverged"] or not math.isfinite(last["exact_accuracy"])
        else:
            assert trial.outcome == "crashed"
            assert trial.mark == len(curve(trial.id, curves)) < MARKS
    outcomes = {trial.outcome for trial in book.trials.values()}
    assert "completed" in outcomes or not outcomes.isdisjoint(("diverged", "crashed")), outcomes
