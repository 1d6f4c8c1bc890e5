"""A source with a fixed list of trials, for tests and their driver processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from search.ledger.ledger import Ledger
from search.ledger.trial import Trial


def add_trials(ledger: Ledger, configs: Sequence[Mapping[str, Any]]) -> None:
    for number, config in enumerate(configs):
        ledger.add_trial(stage="explore", params={}, config=config, seed=number)


class FixedSource:
    """Every unfinished trial of a ledger; stops a trial at the mark its config names."""

    floor = 0.0

    def __init__(self, ledger: Ledger) -> None:
        self.waiting = deque(t for t in ledger.trials.values() if t.outcome is None)
        self.reports: list[tuple[int, int]] = []
        self.ended: list[tuple[int, str | None]] = []

    def next(self) -> Trial | None:
        return self.waiting.popleft() if self.waiting else None

    def exhausted(self) -> bool:
        return not self.waiting

    def score(self, row: Mapping[str, Any]) -> float:
        return float(row["exact_accuracy"])

    def on_report(self, trial: Trial, row: Mapping[str, Any]) -> Literal["continue", "stop"]:
        self.reports.append((trial.id, row["mark"]))
        return "stop" if row["mark"] == trial.config.get("prune") else "continue"

    def on_end(self, trial: Trial) -> None:
        self.ended.append((trial.id, trial.outcome))
