"""Attempts that did not end their trial, one by one: where each was, and why the trial went on.

They lie in `attempts/*.parquet`, 256 trials a file as the trials themselves, written only where
there are any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from search.ledger.journal import JournalRecord
from search.ledger.parquet import Footer, footer_in, opened, sound, write_part
from search.ledger.storage import Place

FOLDER = "attempts"

Cause = Literal["worker", "node", "memory", "machine", "retried", "stopped", "stack"]
"""Why an attempt did not end its trial: its process died, its node was lost, it was killed for the
memory that it or a neighbour took, it met a fault of the machine and said so, it did end the trial,
whose outcome was taken back to run it again, its driver was asked to stop and it was saved, or
something went wrong with several trials that were trained as one model."""


@dataclass(frozen=True)
class Attempt:
    """An execution of a trial after which the trial went on.

    Attributes:
        trial: whose.
        attempt: its number, from 1.
        outcome: `preempted`, or the outcome that was taken back.
        cause: why it did not end the trial.
        reason: one line.
        host: the machine's name; empty if it never said.
        node: Ray's id of the node; empty if it never said.
        pid: the worker's process; 0 if it never said.
        started: when it began, UTC, ISO 8601; None if that is not on record.
        at: when it had ended, UTC, ISO 8601; None if that is not on record.
        mark: the trial's last acknowledged report then: what came after it is repeated.
        repeated: seconds from that report, or from the attempt's start if it was later, to the
            end: at most so much work is repeated.
        gpus: the part of a GPU whose memory was too little for it; 0 if that was not why.
    """

    trial: int
    attempt: int
    outcome: str = "preempted"
    cause: Cause = "worker"
    reason: str = ""
    host: str = ""
    node: str = ""
    pid: int = 0
    started: str | None = None
    at: str | None = None
    mark: int = 0
    repeated: float = 0.0
    gpus: float = 0.0


_TYPES: dict[str, pa.DataType] = {
    "trial": pa.int64(),
    "attempt": pa.int64(),
    "pid": pa.int64(),
    "mark": pa.int64(),
    "repeated": pa.float64(),
    "gpus": pa.float64(),
}
ATTEMPTS = pa.schema([(f.name, _TYPES.get(f.name, pa.string())) for f in fields(Attempt)])
_NAMES = frozenset(ATTEMPTS.names)


def attempt_of(record: JournalRecord) -> Attempt | None:
    """The attempt that a record of the log tells of; older ones say little of it."""
    if record["k"] not in ("preempted", "retry"):
        return None
    known = {name: value for name, value in record.items() if name in _NAMES}
    return Attempt(**{**known, "trial": record["t"]})


def write_attempts(
    path: Place, attempts: Iterable[Attempt], sequence: int, *, ledger: str | None = None
) -> None:
    """Replace a file atomically: a crash leaves the old one or the new one."""
    write_part(path, map(vars, attempts), ATTEMPTS, sequence, ledger=ledger)


def read_attempts_part(path: Place) -> tuple[list[Attempt], Footer]:
    """A file's attempts, and what it says of itself.

    Raises:
        UserError: it is damaged.
    """
    with sound(path), opened(path) as (file, sealed):
        table = pq.read_table(file)
        names = [name for name in table.column_names if name in _NAMES]
        found = [Attempt(**row) for row in table.select(names).to_pylist()]
        return found, footer_in(table, sealed)


def repeated(attempts: Mapping[int, Sequence[Attempt]]) -> float:
    """Seconds of work, at most, that all attempts together left to be done again."""
    return sum(one.repeated for many in attempts.values() for one in many)
