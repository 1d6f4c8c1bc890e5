"""What the reports of a search say, kept in memory for those who learn from curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from search.config.plan import Plan
from search.ledger.trial import Trial
from search.objectives.outcome import failed
from search.samplers.history import OBJECTIVE, PastRun
from search.schedulers.rungs import highest

COLUMNS = ("cell_accuracy", "lm_loss", "train_loss")
"""Beside the first objective: what moves early, before any answer is right in whole."""


class Evidence:
    """The curves of the trials of a search.

    A report counts at the last of the plan's marks that it has reached, so that curves compare.
    """

    def __init__(self, plan: Plan) -> None:
        self._marks = plan.marks
        self._objective = plan.objective
        self._curves: dict[int, dict[int, dict[str, float]]] = {}
        self._waits: set[int] = set()

    def wait(self, trial: int) -> None:
        """A trial waits from now on."""
        self._waits.add(trial)

    def go_on(self, trial: int) -> None:
        """A trial does not wait any more."""
        self._waits.discard(trial)

    def note(self, trial: int, row: Mapping[str, Any]) -> None:
        """Take in a report; a failed trial's last one says nothing more."""
        if failed(row):
            return
        step = highest(self._marks, float(row["progress"]))
        found = {OBJECTIVE: self._objective.value(row)}
        for name in COLUMNS:
            if name != self._objective.column and row.get(name) is not None:
                found[name] = float(row[name])
        if step >= 0 and all(map(math.isfinite, found.values())):
            self._curves.setdefault(trial, {})[step] = found

    def runs(self, trials: Sequence[Trial]) -> tuple[PastRun, ...]:
        """The seeds of a config as a sampler knows them."""
        return tuple(
            PastRun(
                outcome=trial.outcome,
                value=trial.score if trial.completed else None,
                curve=dict(self._curves.get(trial.id, {})),
                paused=trial.id in self._waits,
            )
            for trial in trials
        )
