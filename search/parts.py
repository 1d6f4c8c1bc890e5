"""Trials and curves as Parquet files of 256 trials each, every file replaced atomically.

All rows of one trial are in one file, so a plain reader of the folder sees each row once at any
moment. A file's metadata holds the sequence number of the last log record that it contains.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from search.journal import SCHEMA_VERSION, sync_folder
from trm.report import COLUMNS

BLOCK = 256
"""Trials per file."""

StageName = Literal["explore", "population", "confirm", "promise", "reference"]
Outcome = Literal[
    "completed", "pruned", "diverged", "collapsed", "oom", "crashed", "infeasible", "stopped"
]


@dataclass
class Trial:
    """One config with one seed.

    Attributes:
        id: its number in the run, from 0.
        stage: what it was run for.
        candidate: the explore trial whose config this is; -1 for the reference recipe.
        seed: the seed of weights, order, augmentation and exploration.
        params: the drawn values, parameter path to value.
        config: the drawn config tree.
        outcome: how it ended; None while it has not.
        reason: one line about a failure, else empty.
        score: the objective, never NaN; None while there is none.
        mark: the last acknowledged report's mark; 0 before the first.
        compute: training FLOPs at that mark.
        seconds: training and evaluation seconds at that mark, all attempts together.
        attempts: executions begun.
        paused: whether it waits, after its last report, until it is gone on with.
        preempted: executions that ended because their worker process died.
        checkpoint: the last acknowledged checkpoint's path, relative to the run folder; before the
            first, another trial's from which this one goes on, if any.
        started: when the first attempt began, UTC, ISO 8601.
        finished: when the outcome was known, UTC, ISO 8601.
        provenance: versions, git and data hash, device and resolved decisions of the last attempt.
    """

    id: int
    stage: StageName
    candidate: int
    seed: int
    params: dict[str, Any]
    config: dict[str, Any]
    outcome: Outcome | None = None
    reason: str = ""
    score: float | None = None
    mark: int = 0
    compute: float = 0.0
    seconds: float = 0.0
    attempts: int = 0
    paused: bool = False
    preempted: int = 0
    checkpoint: str | None = None
    started: str | None = None
    finished: str | None = None
    provenance: dict[str, Any] = field(default_factory=dict)


_JSON = ("params", "config", "provenance")
_TRIAL_TYPES: dict[str, pa.DataType] = {
    "id": pa.int64(),
    "candidate": pa.int64(),
    "seed": pa.int64(),
    "score": pa.float64(),
    "mark": pa.int64(),
    "compute": pa.float64(),
    "seconds": pa.float64(),
    "attempts": pa.int64(),
    "paused": pa.bool_(),
    "preempted": pa.int64(),
}
TRIALS = pa.schema([(f.name, _TRIAL_TYPES.get(f.name, pa.string())) for f in fields(Trial)])
_REPORT_TYPES = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
CURVES = pa.schema(
    [("trial", pa.int64()), ("attempt", pa.int64())]
    + [(name, _REPORT_TYPES[kind]) for name, kind in COLUMNS.items()]
)

Row = dict[str, Any]
"""A row of a curve: trial, attempt and a report's columns."""


def part(folder: Path, block: int) -> Path:
    """The file of a block: of trials `block * 256` and the 255 after it."""
    return folder / f"{block * BLOCK:06d}.parquet"


def parts(folder: Path) -> dict[int, Path]:
    """The files that exist, block to path."""
    return {int(path.stem) // BLOCK: path for path in sorted(folder.glob("[0-9]*.parquet"))}


def sequence_of(path: Path) -> int:
    """The last log record that a file contains; 0 if there is no file."""
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except FileNotFoundError:
        return 0
    return int(metadata[b"sequence"])


def write_part(
    path: Path, rows: Iterable[Mapping[str, Any]], schema: pa.Schema, sequence: int
) -> None:
    """Replace a file atomically: a crash leaves the old one or the new one."""
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    metadata = {"schema_version": str(SCHEMA_VERSION), "sequence": str(sequence)}
    _write(path, table.replace_schema_metadata(metadata))


def extend_curves(path: Path, rows: Sequence[Row], sequence: int) -> None:
    """Add rows to a file of curves, atomically; rows that it holds already are left out."""
    table = merge_curves(read_curve_part(path), rows).sort_by(
        [("trial", "ascending"), ("mark", "ascending")]
    )
    metadata = {"schema_version": str(SCHEMA_VERSION), "sequence": str(sequence)}
    _write(path, table.replace_schema_metadata(metadata))


def read_curve_part(path: Path, trial: int | None = None) -> pa.Table:
    """A file's rows, of one trial if given; no rows if there is no file."""
    filters = None if trial is None else [("trial", "=", trial)]
    try:
        return _conform(pq.read_table(path, filters=filters))
    except FileNotFoundError:
        return CURVES.empty_table()


def read_trial_part(path: Path) -> tuple[list[Trial], int]:
    """A file's trials, and the last log record that it contains."""
    table = pq.read_table(path)
    names = {f.name for f in fields(Trial)}
    trials = []
    for row in table.to_pylist():
        for name in _JSON:
            row[name] = json.loads(row[name])
        trials.append(Trial(**{name: value for name, value in row.items() if name in names}))
    return trials, int(table.schema.metadata[b"sequence"])


def merge_curves(stored: pa.Table, rows: Sequence[Row]) -> pa.Table:
    """Stored rows and those of `rows` that are not among them, by trial and mark."""
    known = set(
        zip(stored["trial"].to_pylist(), stored["mark"].to_pylist(), strict=True)
        if len(stored) and rows
        else ()
    )
    new = [row for row in rows if (row["trial"], row["mark"]) not in known]
    return pa.concat_tables([stored, pa.Table.from_pylist(new, schema=CURVES)])


def trial_row(trial: Trial) -> Row:
    """A trial as it is stored, trees as JSON text."""
    row = dict(vars(trial))
    for name in _JSON:
        row[name] = json.dumps(row[name], separators=(",", ":"))
    return row


def _conform(table: pa.Table) -> pa.Table:
    # An older version may have stored fewer columns.
    columns = [
        table[name].cast(CURVES.field(name).type)
        if name in table.column_names
        else pa.nulls(len(table), CURVES.field(name).type)
        for name in CURVES.names
    ]
    return pa.table(columns, schema=CURVES)


def _write(path: Path, table: pa.Table) -> None:
    # pyarrow's dataset reader skips names that start with a dot.
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "wb") as file:
        pq.write_table(table, file, compression="zstd", row_group_size=2048)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)
