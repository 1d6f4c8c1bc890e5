"""What is known of a run's trials, and every way in which that may change.

`Book` keeps it in memory, which is all that a simulated run needs; the ledger makes it last.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from search.ledger.attempts import Attempt, Cause, attempt_of
from search.ledger.journal import JournalRecord
from search.ledger.parquet import CURVES
from search.ledger.storage import Place
from search.ledger.trial import Row, StageName, Trial
from search.objectives.outcome import Outcome
from trm.errors import UserError
from trm.report import COLUMNS

_CASTS: dict[str, Callable[[Any], int | float | bool]] = {"int": int, "float": float, "bool": bool}


class Book:
    """The trials of a run and their curves.

    `trials` and `attempts` are read-only to callers: they are this object's view of what was
    recorded.

    Attributes:
        trials: by id.
        attempts: by trial, those that did not end it, in order.
    """

    def __init__(self) -> None:
        self.trials: dict[int, Trial] = {}
        self.attempts: dict[int, list[Attempt]] = {}
        self._begun: dict[int, str] = {}
        self._tail: dict[int, list[Row]] = defaultdict(list)

    def add_trial(
        self,
        *,
        stage: StageName,
        params: Mapping[str, Any],
        config: Mapping[str, Any],
        seed: int,
        candidate: int | None = None,
        checkpoint: str | None = None,
        asked: Mapping[str, Any] | None = None,
    ) -> Trial:
        """A new trial; without `candidate` it is its own.

        Args:
            checkpoint: another trial's, from which this one goes on.
            asked: what was known when it was asked for, of a config that was drawn.
        """
        number = len(self.trials)
        self._record(
            number,
            {
                "k": "trial",
                "stage": stage,
                "candidate": number if candidate is None else candidate,
                "seed": seed,
                "params": dict(params),
                "config": dict(config),
                "checkpoint": checkpoint,
                **({} if asked is None else {"asked": dict(asked)}),
            },
        )
        return self.trials[number]

    def begin_attempt(self, trial_id: int) -> int:
        """The number of a new execution, from 1; reports of any earlier one are ignored."""
        assert not self.trials[trial_id].ended, "a finished trial is not run again"
        attempt = self.trials[trial_id].attempts + 1
        self._begun[trial_id] = now = _now()
        self._record(trial_id, {"k": "attempt", "attempt": attempt, "at": now})
        return attempt

    def acknowledge(
        self,
        trial_id: int,
        attempt: int,
        row: Mapping[str, Any],
        checkpoint: str | None = None,
        provenance: Mapping[str, Any] | None = None,
        findings: Sequence[Mapping[str, Any]] | None = None,
    ) -> bool:
        """Store a report and its checkpoint's path; False if the report is stale or known.

        Args:
            row: a report's columns; columns that a report does not have are left out.
            checkpoint: relative to the run folder; None keeps the one before.
            findings: of detectors of plug-ins; None keeps those before.
        """
        trial = self.trials[trial_id]
        if trial.ended or attempt != trial.attempts or row["mark"] <= trial.mark:
            return False
        record: JournalRecord = {
            "k": "row",
            "attempt": attempt,
            "row": {
                name: _CASTS[column.kind](row[name])
                for name, column in COLUMNS.items()
                if row.get(name) is not None
            },
        }
        if checkpoint is not None:
            record["checkpoint"] = checkpoint
        if provenance is not None:
            record["provenance"] = dict(provenance)
        if findings is not None:
            record["findings"] = [dict(finding) for finding in findings]
        self._record(trial_id, record)
        return True

    def preempt(
        self,
        trial_id: int,
        attempt: int,
        reason: str,
        *,
        cause: Cause = "worker",
        host: str = "",
        node: str = "",
        pid: int = 0,
        repeated: float = 0.0,
        checkpoint: str | None = None,
        gpus: float = 0.0,
    ) -> bool:
        """Note that an attempt ended and its trial goes on. False for a stale attempt.

        Args:
            checkpoint: of its state, where it could still be saved; None keeps the one before.
            repeated: seconds of work, at most, that are to be done again.
            gpus: the part of a GPU whose memory was too little for it.
        """
        trial = self.trials[trial_id]
        if trial.ended or attempt != trial.attempts:
            return False
        self._record(
            trial_id,
            {
                "k": "preempted",
                "attempt": attempt,
                "cause": cause,
                "reason": " ".join(reason.split()),
                "host": host,
                "node": node,
                "pid": pid,
                "started": self._begun.get(trial_id),
                "at": _now(),
                "mark": trial.mark,
                "repeated": round(repeated, 3),
                **({} if checkpoint is None else {"checkpoint": checkpoint}),
                **({"gpus": gpus} if gpus else {}),
            },
        )
        return True

    def retry(self, trial_id: int, *, afresh: bool = False) -> None:
        """Take a failed trial's outcome back: it goes on from its last checkpoint.

        The outcome stays on record among its attempts.

        Args:
            afresh: its checkpoint is gone, so it begins again; reports that are known stay.
        """
        trial = self.trials[trial_id]
        assert trial.failed, f"trial {trial_id}: {trial.outcome} is no failure"
        self._record(
            trial_id,
            {
                "k": "retry",
                "attempt": trial.attempts,
                "cause": "retried",
                "outcome": trial.outcome,
                "reason": trial.reason,
                "at": trial.finished,
                "mark": trial.mark,
                "checkpoint": None if afresh else trial.checkpoint,
            },
        )

    def pause(self, trial_id: int) -> None:
        """Note that a trial waits, after its last report, until it is gone on with."""
        assert not self.trials[trial_id].ended, "a finished trial cannot wait"
        self._record(trial_id, {"k": "pause"})

    def finish(
        self, trial_id: int, outcome: Outcome, score: float | None, reason: str = ""
    ) -> None:
        """Give a trial its outcome, once."""
        assert not self.trials[trial_id].ended, f"trial {trial_id} has an outcome"
        assert score is None or not math.isnan(score), f"trial {trial_id}: NaN is not a score"
        reason = " ".join(reason.split())
        self._record(
            trial_id,
            {"k": "end", "outcome": outcome, "score": score, "reason": reason, "at": _now()},
        )

    def curve(self, trial_id: int) -> list[Row]:
        """A trial's acknowledged reports, by mark."""
        return list(self._tail.get(trial_id, ()))

    def curves(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, list[Row]]]:
        """Every trial's id and acknowledged reports by mark, in the order of ids.

        Args:
            columns: of a report, to read no more than is needed; None is all.
        """
        for number in list(self.trials):
            rows = list(self._tail.get(number, ()))
            if columns is not None:
                wanted = curve_columns(columns)
                rows = [{name: row.get(name) for name in wanted} for row in rows]
            yield number, rows

    def forget_checkpoints(self, trial_id: int, keep: str | None) -> None:
        """Remove a trial's checkpoints but one; a book has none."""

    def _record(self, trial_id: int, record: JournalRecord) -> None:
        record = {"t": trial_id, **record}
        row = apply(self.trials, record)
        if row is not None:
            self._tail[trial_id].append(row)
        note_attempt(self.attempts, record)


def note_attempt(attempts: dict[int, list[Attempt]], record: JournalRecord) -> None:
    """Add what a record tells of an attempt, if it tells of one."""
    if (attempt := attempt_of(record)) is not None:
        attempts.setdefault(attempt.trial, []).append(attempt)


def apply(trials: dict[int, Trial], record: JournalRecord) -> Row | None:
    """Change the state by one record; gives the curve's new row if it has one."""
    number, kind = record["t"], record["k"]
    if kind == "trial":
        trials[number] = Trial(
            id=number,
            stage=record["stage"],
            candidate=record["candidate"],
            seed=record["seed"],
            params=record["params"],
            config=record["config"],
            checkpoint=record.get("checkpoint"),
            asked=record.get("asked", {}),
        )
        return None
    trial = trials[number]
    row = row_of(record)
    if row is not None:
        trial.mark = row["mark"]
        trial.compute = row.get("compute", trial.compute)
        trial.seconds = row.get("seconds", trial.seconds)
        trial.checkpoint = record.get("checkpoint", trial.checkpoint)
        trial.provenance = record.get("provenance", trial.provenance)
        trial.findings = record.get("findings", trial.findings)
    elif kind == "attempt":
        trial.attempts = record["attempt"]
        trial.paused = False
        trial.started = trial.started or record["at"]
    elif kind == "pause":
        trial.paused = True
    elif kind == "preempted":
        trial.preempted += 1
        trial.checkpoint = record.get("checkpoint", trial.checkpoint)
    elif kind == "retry":
        trial.outcome = trial.score = trial.finished = None
        trial.reason, trial.checkpoint = "", record["checkpoint"]
    elif kind == "end":
        trial.outcome, trial.score = record["outcome"], record["score"]
        trial.paused = False
        trial.reason, trial.finished = record["reason"], record["at"]
    return row


def curve_columns(columns: Sequence[str] | None) -> list[str]:
    """The columns of a curve that `columns` asks for; a row always says whose and which it is."""
    if columns is None:
        return list(CURVES.names)
    return list(dict.fromkeys(("trial", "mark", *columns)))


def row_of(record: JournalRecord) -> Row | None:
    if record["k"] != "row":
        return None
    return {"trial": record["t"], "attempt": record["attempt"], **record["row"]}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def holds_ablations(trials: Mapping[int, Trial]) -> bool:
    """Whether a run folder's trials are those of `trm ablate`, not a sweep's."""
    return any(trial.ablates for trial in trials.values())


def refuse_ablations(folder: Place | str, trials: Mapping[int, Trial]) -> None:
    """Make sure that there is a search to be looked at.

    Raises:
        UserError: the folder holds ablations.
    """
    if holds_ablations(trials):
        raise UserError(
            f"{folder}: holds ablations, which have no search and no winner: `trm status {folder}` "
            "shows their table"
        )
