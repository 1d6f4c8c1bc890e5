"""A scheduler's decisions on the trials of a run, taken at reports and found again on resume."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from search.ledger.book import Book
from search.ledger.trial import Trial
from search.objectives.outcome import failed
from search.schedulers.rungs import highest
from search.schedulers.scheduler import Decision, EarlyStoppingConfig, RungState, Scheduler
from search.schedulers.soundness import require_decision, require_waiting


class EarlyStopping:
    """Who runs, who waits and who has ended, among trials that are numbered from 0 without gaps.

    Rebuilt from the book: the scheduler is told what was decided, and decides anew only what a
    killed driver had stored no decision on.

    Attributes:
        trials: by number.
        unfinished: trials that a killed driver left running, to go on with before any other.
    """

    def __init__(
        self,
        config: EarlyStoppingConfig,
        scheduler: Scheduler,
        book: Book,
        trials: Iterable[Trial],
        objective: Callable[[Mapping[str, Any]], float],
        floor: float,
    ) -> None:
        self.trials: list[Trial] = []
        self._config = config
        self._scheduler = scheduler
        self._book = book
        self._objective = objective
        self._floor = floor
        self._numbers: dict[int, int] = {}
        self._running: set[int] = set()
        self._paused: set[int] = set()
        self._rungs: dict[int, dict[int, float]] = {}
        self._undecided: list[tuple[Trial, dict[str, Any]]] = []
        explored = {trial.id: trial for trial in trials}
        for trial_id, rows in book.curves() if explored else ():
            trial = explored.get(trial_id)
            if trial is None:
                continue
            self.add(trial)
            row = self._restore(trial, rows)
            if row is not None:
                self._undecided.append((trial, row))
        self.unfinished: deque[Trial] = deque()

    def settle(self) -> list[Trial]:
        """Decide on the reports on which a killed driver had stored no decision, before anything
        else; the trials that end by it.
        """
        ended = []
        for trial, row in self._undecided:
            decision = self.on_report(trial, row)
            if decision == "stop":
                self._end(trial)
                ended.append(trial)
            elif decision == "pause":
                self._book.forget_checkpoints(trial.id, trial.checkpoint)
                self._book.pause(trial.id)
        self._undecided.clear()
        self.unfinished.extend(t for t in self.trials if not t.ended and not t.paused)
        return ended

    def add(self, trial: Trial) -> int:
        """Take in a trial; its number."""
        self._numbers[trial.id] = number = len(self.trials)
        self.trials.append(trial)
        return number

    def number(self, trial: Trial) -> int:
        """A trial's number."""
        return self._numbers[trial.id]

    def start(self, trial: Trial) -> Trial:
        """Note that a trial is given to a worker; returns it."""
        self._paused.discard(trial.id)
        self._running.add(trial.id)
        return trial

    def on_report(self, trial: Trial, row: Mapping[str, Any]) -> Decision:
        """What becomes of a trial after a report."""
        number, objective = self._numbers[trial.id], self._objective(row)
        self._note_rung(number, row, objective)
        answer = self._scheduler.on_report(number, *self._seen(row))
        decision = require_decision(self._config.name, answer)
        if decision == "pause":
            self._running.discard(trial.id)
            self._paused.add(trial.id)
        return decision

    def on_end(self, trial: Trial) -> None:
        """Take in a trial's outcome."""
        self._running.discard(trial.id)
        self._paused.discard(trial.id)
        self._scheduler.on_end(self._numbers[trial.id], failed=trial.failed)

    def rungs(self, number: int) -> dict[int, float]:
        """A trial's objective at each rung that it reached, by index."""
        return self._rungs.get(number, {})

    def promote(self) -> Trial | None:
        """A trial that waits and deserves to go on now."""
        number = self._scheduler.promote()
        return None if number is None else self.start(self._waiting(number))

    def finish(self) -> tuple[Trial | None, list[Trial]]:
        """To be asked when no new trial will come: one to go on with, else those that end here.

        Those that end wait in vain; they have got their outcome `pruned`, and have no checkpoint
        any more. As long as trials run, neither.
        """
        if self._running:
            return None, []
        number = self._scheduler.promote(last=True)
        if number is not None:
            return self.start(self._waiting(number)), []
        ended = [self._waiting(number) for number in self._scheduler.close()]
        for trial in ended:
            self._end(trial)
            self._book.forget_checkpoints(trial.id, None)
        return None, ended

    @property
    def running(self) -> bool:
        """Whether any trial is at a worker, or was when a driver was killed."""
        return bool(self._running or self.unfinished)

    @property
    def waiting(self) -> bool:
        """Whether any trial waits."""
        return bool(self._paused)

    @property
    def paused(self) -> list[int]:
        """Numbers of the trials that wait."""
        return sorted(self._numbers[trial_id] for trial_id in self._paused)

    def _waiting(self, number: int) -> Trial:
        waiting = {self._numbers[trial_id] for trial_id in self._paused}
        return self.trials[require_waiting(self._config.name, number, waiting)]

    def _restore(self, trial: Trial, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
        """Tell the scheduler what is known of a trial; its last report if that is undecided."""
        standing, undecided = _standing(trial), None
        # Whatever was begun after a report was begun by a decision on it.
        if standing == "open" and rows and rows[-1]["attempt"] == trial.attempts:
            undecided = rows.pop()
        if standing == "paused":
            self._paused.add(trial.id)
        number = self._numbers[trial.id]
        judged = [row for row in rows if not failed(row)]
        for row in judged:
            self._note_rung(number, row, self._objective(row))
        self._scheduler.replay(number, [self._seen(row) for row in judged], standing)
        return None if undecided is None or failed(undecided) else undecided

    def _seen(self, row: Mapping[str, Any]) -> tuple[float, float | None]:
        """A report as the scheduler sees it."""
        return self._config.share(row), self._config.ranked_by(row, self._objective(row))

    def _note_rung(self, number: int, row: Mapping[str, Any], objective: float) -> None:
        rungs = self._rungs.setdefault(number, {})
        rung = highest(self._scheduler.shares, self._config.share(row))
        if rung > max(rungs, default=-1):
            rungs[rung] = objective

    def _end(self, trial: Trial) -> None:
        """End a trial that nobody runs, and keep the last of its checkpoints."""
        self._book.forget_checkpoints(trial.id, trial.checkpoint)
        score = self._objective(self._book.curve(trial.id)[-1])
        if math.isfinite(score):
            self._book.finish(trial.id, "pruned", score)
        else:
            self._book.finish(trial.id, "diverged", self._floor, f"the objective is {score}")
        self.on_end(trial)


def _standing(trial: Trial) -> RungState:
    if not trial.ended:
        return "paused" if trial.paused else "open"
    if trial.failed:
        return "failed"
    return "stopped" if trial.pruned else "ended"
