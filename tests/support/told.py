"""What a driver has acknowledged, told to a file that no fault reaches, and read by a test.

Beside the records of the ledger's journal, each written down once `append` has returned, there are
`driver` (its process) and `started` (which worker has begun an attempt).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.ledger.journal import Journal, JournalRecord
from search.ledger.reader import read_book, read_curves
from search.ledger.trial import Trial
from search.logs.terminal import SweepDisplay
from search.objectives.outcome import FAILURES

Told = dict[str, Any]
"""A line: the record, and when it was acknowledged, `when`, in seconds since the epoch."""


class Telling(SweepDisplay):
    """A driver's display that writes down, and has the journal write down, what happens."""

    def __init__(self, file: Path) -> None:
        super().__init__(quiet=True)
        self._file = open(file, "a", buffering=1, encoding="utf-8")  # noqa: SIM115
        self.tell({"k": "driver", "pid": os.getpid()})
        append = Journal.append

        def appending(journal: Journal, record: JournalRecord) -> int:
            number = append(journal, record)
            self.tell(record)
            return number

        Journal.append = appending  # type: ignore[method-assign]

    def tell(self, record: Mapping[str, Any]) -> None:
        self._file.write(json.dumps({"when": time.time(), **record}) + "\n")

    def started(self, trial: Trial, worker: str) -> None:
        super().started(trial, worker)
        self.tell({"k": "started", "t": trial.id, "attempt": trial.attempts, "worker": worker})

    def note(self, line: str) -> None:
        self.tell({"k": "note", "line": line})


class Listener:
    """Reads what a driver tells, as it comes.

    Attributes:
        records: all so far.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = 0
        self.records: list[Told] = []

    def listen(self) -> list[Told]:
        """All that was told so far."""
        if self._file.exists():
            with open(self._file, "rb") as file:
                file.seek(self._read)
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._read += len(whole)
            self.records += [json.loads(line) for line in whole.splitlines()]
        return self.records

    def live(self) -> dict[int, Told]:
        """By trial: the `started` of attempts that run, as far as was told."""
        found: dict[int, Told] = {}
        for one in self.listen():
            if one["k"] == "driver":
                found.clear()
            elif one["k"] == "started":
                found[one["t"]] = one
            elif one["k"] in ("pause", "end", "preempted", "attempt"):
                found.pop(one["t"], None)
        return found

    def waiting(self) -> dict[int, Told]:
        """By trial: the last report of each that waits, with the `worker` that made it."""
        workers: dict[int, str] = {}
        last: dict[int, Told] = {}
        found: dict[int, Told] = {}
        for one in self.listen():
            if one["k"] == "started":
                workers[one["t"]] = one["worker"]
            elif one["k"] == "row":
                last[one["t"]] = one
            elif one["k"] == "pause":
                found[one["t"]] = {**last[one["t"]], "worker": workers.get(one["t"], ":")}
            elif one["k"] in ("attempt", "end"):
                found.pop(one["t"], None)
        return found

    def since_work(self, trial: int, at: float, attempt: int) -> float:
        """Seconds of work of an attempt at a moment that are not acknowledged."""
        mine = [
            one["when"]
            for one in self.listen()
            if one["k"] in ("started", "row")
            and (one["t"], one["attempt"]) == (trial, attempt)
            and one["when"] <= at
        ]
        return float(at - max(mine, default=at))


def lost(told: list[Told], folder: Path) -> list[Told]:
    """Of what was acknowledged, what the ledger does not have, or has in another form."""
    book = read_book(folder)
    rows = {(row["trial"], row["mark"]): row for row in read_curves(folder).to_pylist()}
    begun: dict[int, int] = {}
    found = []
    for one in told:
        if one["k"] == "attempt":
            begun[one["t"]] = one["attempt"]
        if one["k"] == "pause":  # which does not say of which attempt it is the end
            one = {**one, "attempt": begun.get(one["t"], 0)}
        if not _stands(one, book.trials, book.attempts, rows):
            found.append(one)
    return found


def _stands(
    one: Told,
    trials: Mapping[int, Trial],
    attempts: Mapping[int, Any],
    rows: Mapping[tuple[int, int], Mapping[str, Any]],
) -> bool:
    if one["k"] in ("driver", "started", "note"):
        return True
    trial = trials.get(one["t"])
    if trial is None:
        return False
    if one["k"] == "trial":
        same = (trial.params, trial.config, trial.seed, trial.stage)
        return same == (one["params"], one["config"], one["seed"], one["stage"])
    if one["k"] == "attempt":
        return trial.attempts >= int(one["attempt"])
    if one["k"] == "pause":
        return trial.paused or trial.ended or trial.attempts > int(one["attempt"])
    if one["k"] == "end":
        mine = (trial.outcome, trial.score, trial.reason, trial.finished)
        return mine == (one["outcome"], one["score"], one["reason"], one["at"])
    if one["k"] == "preempted":
        kept = [(a.attempt, a.cause, a.reason, a.at) for a in attempts.get(one["t"], ())]
        mine = (one["attempt"], one["cause"], one["reason"], one["at"])
        return mine in kept
    assert one["k"] == "row", one
    row = rows.get((one["t"], one["row"]["mark"]))
    if row is None or row["attempt"] != one["attempt"]:
        return False
    return all(json.dumps(row[name]) == json.dumps(value) for name, value in one["row"].items())


def lost_trials(told: list[Told]) -> list[int]:
    """Trials that ended by a fault of a machine."""
    machine = set(FAILURES) - {"diverged", "collapsed"}
    return [one["t"] for one in told if one["k"] == "end" and one["outcome"] in machine]
