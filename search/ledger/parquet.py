"""Trials and curves as Parquet files of 256 trials each, every file replaced atomically.

All rows of one trial are in one file, so a plain reader of the folder sees each row once at any
moment. A file's metadata holds the sequence number of the last log record that it contains, and
whose it is; checksums of all of it lie before its footer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from search.ledger.files import DamagedFileError, write_atomically
from search.ledger.journal import SCHEMA_VERSION, require_known_version
from search.ledger.seal import DamagedError, check_parquet, seal_parquet
from search.ledger.storage import Place, readable
from search.ledger.trial import Row, StageName, Trial
from search.objectives.outcome import Outcome
from trm.errors import UserError
from trm.files.replace import sync
from trm.report import COLUMNS

BLOCK = 256
"""Trials per file."""
ROW_GROUP = 2048
"""Rows of a file that are read or written at once."""


_JSON = ("params", "config", "provenance", "findings", "asked")
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
    """The files that exist, block to path; what else lies there is not looked at."""
    found = [
        path
        for path in folder.glob("[0-9]*.parquet")
        if len(path.stem) >= 6 and path.stem.isdigit() and int(path.stem) % BLOCK == 0
    ]
    return {int(path.stem) // BLOCK: path for path in sorted(found, key=lambda p: int(p.stem))}


@dataclass(frozen=True)
class Footer:
    """What a file says of itself.

    Attributes:
        sequence: the last log record that it contains; 0 if there is no file.
        version: of its schema.
        ledger: whose it is; None in a file of an older version.
        curves: of a file of trials, the last record that their curves contained then.
        attempts: likewise of the file of their attempts.
        rows: how many it has.
    """

    sequence: int = 0
    version: int = SCHEMA_VERSION
    ledger: str | None = None
    curves: int = 0
    attempts: int = 0
    rows: int = 0


def footer_of(path: Place, *, whole: bool = False) -> Footer:
    """What a file says of itself.

    Args:
        whole: whether to make sure that all of the file is as it was written.

    Raises:
        UserError: it is damaged, or a newer version of this program wrote it.
    """
    try:
        with sound(path), opened(path, columns=whole) as (file, sealed):
            metadata = pq.read_metadata(file)
            footer = _footer_of(metadata.metadata or {}, metadata.num_rows, sealed)
    except FileNotFoundError:
        return Footer()
    require_known_version(path, footer.version)
    return footer


def write_part(
    path: Place,
    rows: Iterable[Mapping[str, Any]],
    schema: pa.Schema,
    sequence: int,
    *,
    ledger: str | None = None,
    curves: int = 0,
    attempts: int = 0,
) -> None:
    """Replace a file atomically: a crash leaves the old one or the new one."""
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    _write(path, table, sequence, ledger, {"curves": curves, "attempts": attempts})


def extend_curves(
    path: Place, rows: Sequence[Row], sequence: int, *, ledger: str | None = None
) -> None:
    """Add rows to a file of curves, atomically; rows that it holds already are left out."""
    table = merge_curves(read_curve_part(path), rows).sort_by(
        [("trial", "ascending"), ("mark", "ascending")]
    )
    _write(path, table, sequence, ledger)


def read_curve_part(path: Place, trial: int | None = None) -> pa.Table:
    """A file's rows, of one trial if given; no rows if there is no file.

    Raises:
        UserError: it is damaged.
    """
    filters = None if trial is None else [("trial", "=", trial)]
    try:
        # Of an object, one trial's rows are fetched alone.
        whole = trial is None or isinstance(path, Path)
        with sound(path), opened(path, columns=whole) as (file, _):
            return _conform(pq.read_table(file, filters=filters))
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


def read_trial_part(path: Place) -> tuple[list[Trial], Footer]:
    """A file's trials, and what it says of itself.

    Raises:
        UserError: it is damaged, or a newer version of this program wrote it.
    """
    with sound(path), opened(path) as (file, sealed):
        table = pq.read_table(file)
        footer = footer_in(table, sealed)
        require_known_version(path, footer.version)
        # Older files lack `paused`, `findings` or `asked`, which then are their defaults.
        names = [f.name for f in fields(Trial) if f.name in table.column_names]
        columns = table.select(names).cast(pa.schema([TRIALS.field(n) for n in names])).to_pydict()
        for name in set(_JSON).intersection(names):
            # Parsed together, the trees share their keys: most of what they are made of.
            columns[name] = json.loads(f"[{','.join(columns[name])}]")
        rows = zip(*columns.values(), strict=True)
        trials = [Trial(**dict(zip(names, row, strict=True))) for row in rows]
        _require_trials(trials, int(path.stem))
    return trials, footer


def _require_trials(trials: Sequence[Trial], first: int) -> None:
    for number, trial in enumerate(trials, start=first):
        if trial.id != number:
            raise DamagedError(f"trial {trial.id} stands where trial {number} belongs")
        known = trial.outcome is None or trial.outcome in get_args(Outcome)
        if not known or trial.stage not in get_args(StageName):
            raise DamagedError(f"trial {number} has no known stage or outcome")
        if not all(isinstance(tree, dict) for tree in (trial.params, trial.config)):
            raise DamagedError(f"trial {number} has no parameters or config")


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
        with sound(path), opened(path) as (source, _):
            file = pq.ParquetFile(source)
            known = [name for name in columns if name in file.schema_arrow.names]
            for batch in file.iter_batches(ROW_GROUP, columns=known):
                yield from _conform(pa.Table.from_batches([batch]), columns).to_pylist()
    except FileNotFoundError:
        return


@contextmanager
def sound(path: Place) -> Iterator[None]:
    """What reads a file: one that cannot be read is damaged.

    Raises:
        DamagedFileError: it is damaged.
        OSError: the machine or the store cannot read it.
    """
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        if isinstance(path, Path) and error.errno is not None and error.filename is None:
            # pyarrow's own names no file but in its words.
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        if error.errno is not None or not isinstance(path, Path):
            raise
        raise DamagedFileError(path, "is damaged, not Parquet") from error
    except DamagedError as error:
        raise DamagedFileError(path, f"is damaged, {error}") from error
    except (pa.ArrowException, KeyError, TypeError, ValueError, OverflowError) as error:
        raise DamagedFileError(path, "is damaged, not Parquet") from error


@contextmanager
def opened(path: Place, *, columns: bool = True) -> Iterator[tuple[Any, bool]]:
    """The file for pyarrow's readers, once its checksums are right, and whether it has any."""
    with ExitStack() as stack:
        if isinstance(path, Path):
            file = stack.enter_context(pa.OSFile(str(path)))
        elif columns:
            file = pa.BufferReader(path.read_bytes())
        else:
            file = stack.enter_context(readable(path))
        yield file, check_parquet(file, columns=columns)


def footer_in(table: pa.Table, sealed: bool) -> Footer:
    """What a file said of itself that has been read, with checksums or without."""
    return _footer_of(table.schema.metadata or {}, table.num_rows, sealed)


def _footer_of(found: Mapping[bytes, bytes], rows: int, sealed: bool) -> Footer:
    if b"sealed" in found and not sealed:
        raise DamagedError("its checksums are gone")
    ledger = found.get(b"ledger")
    return Footer(
        sequence=int(found[b"sequence"]),
        version=int(found[b"schema_version"]),
        ledger=None if ledger is None else ledger.decode(),
        curves=int(found.get(b"curves", b"0")),
        attempts=int(found.get(b"attempts", b"0")),
        rows=rows,
    )


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


def _write(
    path: Place,
    table: pa.Table,
    sequence: int,
    ledger: str | None,
    others: Mapping[str, int] | None = None,
) -> None:
    metadata = {"schema_version": str(SCHEMA_VERSION), "sequence": str(sequence), "sealed": "1"}
    if ledger is not None:
        metadata["ledger"] = ledger
    metadata |= {name: str(last) for name, last in (others or {}).items() if last}
    buffer = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata(metadata),
        buffer,
        compression="zstd",
        row_group_size=ROW_GROUP,
    )
    data = seal_parquet(buffer.getvalue().to_pybytes())
    write_atomically(path, data)
    if isinstance(path, Path):
        sync(path.parent)
