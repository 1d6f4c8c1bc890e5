"""Trials and curves as Parquet files of 256 trials each, every file replaced atomically.

All rows of one trial are in one file, so a plain reader of the folder sees each row once at any
moment. A file's metadata holds the sequence number of the last log record that it contains.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from search.ledger.files import COPY
from search.ledger.journal import SCHEMA_VERSION, require_known_version, sync_folder
from search.ledger.storage import Place, Remote, readable
from search.ledger.trial import Row, Trial
from trm.errors import UserError
from trm.report import COLUMNS

BLOCK = 256
"""Trials per file."""
ROW_GROUP = 2048
"""Rows of a file that are read or written at once."""


_JSON = ("params", "config", "provenance", "findings")
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
    + [(name, _REPORT_TYPES[column.kind]) for name, column in COLUMNS.items()]
)


def part(folder: Place, block: int) -> Place:
    """The file of a block: of trials `block * 256` and the 255 after it."""
    return folder / f"{block * BLOCK:06d}.parquet"


def parts(folder: Place) -> dict[int, Place]:
    """The files that exist, block to path."""
    found: list[Place] = sorted(folder.glob("[0-9]*.parquet"), key=lambda path: path.name)
    return {int(path.stem) // BLOCK: path for path in found}


def sequence_of(path: Place) -> int:
    """The last log record that a file contains; 0 if there is no file."""
    try:
        with sound(path):
            metadata = pq.read_metadata(readable(path)).metadata or {}
    except FileNotFoundError:
        return 0
    return int(metadata[b"sequence"])


def write_part(
    path: Place, rows: Iterable[Mapping[str, Any]], schema: pa.Schema, sequence: int
) -> None:
    """Replace a file atomically: a crash leaves the old one or the new one."""
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    metadata = {"schema_version": str(SCHEMA_VERSION), "sequence": str(sequence)}
    _write(path, table.replace_schema_metadata(metadata))


def extend_curves(path: Place, rows: Sequence[Row], sequence: int) -> None:
    """Add rows to a file of curves, atomically; rows that it holds already are left out."""
    table = merge_curves(read_curve_part(path), rows).sort_by(
        [("trial", "ascending"), ("mark", "ascending")]
    )
    metadata = {"schema_version": str(SCHEMA_VERSION), "sequence": str(sequence)}
    _write(path, table.replace_schema_metadata(metadata))


def read_curve_part(path: Place, trial: int | None = None) -> pa.Table:
    """A file's rows, of one trial if given; no rows if there is no file."""
    filters = None if trial is None else [("trial", "=", trial)]
    try:
        with sound(path):
            return _conform(pq.read_table(readable(path), filters=filters))
    except FileNotFoundError:
        return CURVES.empty_table()


def stored_curves(
    path: Place, newer: Mapping[int, Sequence[Row]], columns: Sequence[str]
) -> Iterator[tuple[int, list[Row]]]:
    """The curves of a file's trials, a piece of the file at a time.

    Args:
        newer: rows that the file may not hold yet, for every trial, in order.
        columns: what to read; `trial` and `mark` among them.
    """
    groups = groupby(_stored_rows(path, columns), key=lambda row: row["trial"])
    group = next(groups, None)
    for trial, more in newer.items():
        rows: list[Row] = []
        if group is not None and group[0] == trial:
            rows = list(group[1])
            group = next(groups, None)
        known = {row["mark"] for row in rows}
        new = (row for row in more if row["mark"] not in known)
        yield trial, [*rows, *({name: row.get(name) for name in columns} for row in new)]


def read_trial_part(path: Place) -> tuple[list[Trial], int, int]:
    """A file's trials, the last log record that it contains, and its schema version.

    Raises:
        UserError: it is damaged, or a newer version of this program wrote it.
    """
    with sound(path):
        table = pq.read_table(readable(path))
    metadata = table.schema.metadata
    version = int(metadata[b"schema_version"])
    require_known_version(path, version)
    # Version 1 had no `paused` and no `findings`, which then are their defaults.
    names = [f.name for f in fields(Trial) if f.name in table.column_names]
    columns = table.select(names).to_pydict()
    for name in set(_JSON).intersection(names):
        # Parsed together, the trees share their keys: most of what they are made of.
        columns[name] = json.loads(f"[{','.join(columns[name])}]")
    rows = zip(*columns.values(), strict=True)
    trials = [Trial(**dict(zip(names, row, strict=True))) for row in rows]
    return trials, int(metadata[b"sequence"]), version


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


def _stored_rows(path: Place, columns: Sequence[str]) -> Iterator[Row]:
    try:
        with sound(path):
            file = pq.ParquetFile(readable(path))
    except FileNotFoundError:
        return
    with file:
        known = [name for name in columns if name in file.schema_arrow.names]
        for batch in file.iter_batches(ROW_GROUP, columns=known):
            yield from _conform(pa.Table.from_batches([batch]), columns).to_pylist()


@contextmanager
def sound(path: Place) -> Iterator[None]:
    """What reads a Parquet file.

    Raises:
        UserError: it is damaged.
    """
    try:
        yield
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: is damaged, not Parquet: {COPY}") from error


def _conform(table: pa.Table, names: Sequence[str] = CURVES.names) -> pa.Table:
    # An older version may have stored fewer columns.
    fields = [CURVES.field(name) for name in names]
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in fields
    ]
    return pa.table(columns, schema=pa.schema(fields))


def _write(path: Place, table: pa.Table) -> None:
    options = {"compression": "zstd", "row_group_size": ROW_GROUP}
    if isinstance(path, Remote):
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, **options)
        path.write_bytes(buffer.getvalue())
        return
    # pyarrow's dataset reader skips names that start with a dot.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            pq.write_table(table, file, **options)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
