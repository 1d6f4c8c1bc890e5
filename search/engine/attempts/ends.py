"""Gives trials their outcomes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from search.engine.attempts.collapse import collapse_reason
from search.engine.events import Events
from search.engine.source import TrialSource
from search.ledger.book import Book
from search.ledger.trial import Trial
from search.objectives.outcome import Outcome, failed


class Ends:
    """Ends trials in the ledger, and tells the source and whoever watches."""

    def __init__(self, source: TrialSource, book: Book, events: Events) -> None:
        self._source = source
        self._ledger = book
        self._events = events
        self._rows: dict[int, dict[str, Any]] = {}

    def reported(self, trial: Trial, row: dict[str, Any]) -> None:
        """A trial's last report, so far."""
        self._rows[trial.id] = row

    def paused(self, trial: Trial) -> None:
        """A trial waits for its source."""
        self._ledger.forget_checkpoints(trial.id, trial.checkpoint)
        self._ledger.pause(trial.id)
        self._rows.pop(trial.id, None)
        self._events.paused(trial)

    def ended_already(self, trial: Trial) -> bool:
        """Give a failed trial the outcome that a killed driver had no time to give it."""
        if trial.mark == 0:
            return False
        row = self._last_row(trial)
        if row is not None and failed(row):
            self.fail(trial, row)
        return trial.ended

    def fail(self, trial: Trial, row: Mapping[str, Any]) -> None:
        """End a trial whose last report is one of a failure."""
        if row["diverged"]:
            reason = f"non-finite loss or gradient by step {row['step']}"
            self.end(trial, "diverged", reason)
        else:
            self.end(trial, "collapsed", collapse_reason(self._ledger, trial))

    def end(self, trial: Trial, outcome: Outcome, reason: str) -> None:
        """End a trial."""
        row = self._last_row(trial) if outcome in ("completed", "pruned") else None
        score = self._source.floor if row is None else self._source.score(row)
        if not math.isfinite(score):
            outcome, reason, score = "diverged", f"the objective is {score}", self._source.floor
        # First: what a driver killed in between leaves, nobody would remove after the end.
        self._ledger.forget_checkpoints(trial.id, trial.checkpoint)
        self._ledger.finish(trial.id, outcome, score, reason)
        self._rows.pop(trial.id, None)
        self._source.on_end(trial)
        self._events.ended(trial)

    def _last_row(self, trial: Trial) -> dict[str, Any] | None:
        if trial.id not in self._rows:
            curve = self._ledger.curve(trial.id)
            return curve[-1] if curve else None
        return self._rows[trial.id]
