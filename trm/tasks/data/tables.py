"""Files of examples, read in chunks of rows: CSV, JSON Lines, Parquet and NumPy's arrays."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm.errors import UserError
from trm.tasks.data.complaints import Complaints, brief
from trm.tasks.data.files import Source

ROWS = 65_536
"""Rows of a chunk."""
ALIASES: dict[str, tuple[str, ...]] = {
    "inputs": ("inputs", "input", "question", "puzzle", "quizzes"),
    "labels": ("labels", "label", "answer", "solution", "solutions"),
    "difficulty": ("difficulty", "rating"),
    "draft": ("draft", "drafts"),
    "puzzle_identifier": ("puzzle_identifier", "puzzle_identifiers"),
    "group": ("group", "groups"),
    "split": ("split",),
}
"""The columns that are read, and the names that they have in files, the first choice first."""

_LONGEST = 2**20
"""Characters of a header."""


@dataclass(frozen=True)
class Ragged:
    """Lists of whole numbers, end to end.

    Attributes:
        values: all of them.
        lengths: of each list.
    """

    values: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lengths)


Column = Sequence[Any] | NDArray[Any] | Ragged


@dataclass(frozen=True)
class Chunk:
    """Some rows of a file.

    Attributes:
        rows: their numbers, from 1.
        columns: by our names; those that the file has.
        unread: names of the others.
    """

    rows: NDArray[np.int64]
    columns: dict[str, Column]
    unread: tuple[str, ...] = ()


def read_chunks(
    source: Source, names: Mapping[str, str], complaints: Complaints
) -> Iterator[Chunk]:
    """The rows of a source, in chunks.

    Args:
        names: what columns are called in the file, by our names; others go by `ALIASES`.

    Raises:
        UserError: the file cannot be read; or as `complaints`.
    """
    read: Callable[..., Iterator[Chunk]] = {
        ".parquet": _parquet, ".pq": _parquet, ".npz": _arrays, ".npy": _arrays,
        "folder": _arrays, ".jsonl": _json, ".ndjson": _json, ".json": _json,
    }.get(source.kind, _csv)  # fmt: skip
    path = source.path
    try:
        yield from read(source, names, complaints)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not text in UTF-8: save it so") from error
    except csv.Error as error:
        raise UserError(f"{path}: {error}: save it as CSV again") from error
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read: {reason}: give a whole file") from error


def columns_of(
    path: Path, present: Sequence[str], names: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """The file's columns by our names, and those that are not read.

    Raises:
        UserError: it has no inputs or labels, two that could be one of them, or not what `names`
            says.
    """
    found: dict[str, str] = {}
    plain = {name.strip().lower(): name for name in reversed(present)}
    for ours, aliases in ALIASES.items():
        if ours in names:
            if names[ours] not in present:
                raise UserError(
                    f"task.columns.{ours}", names[ours], f"is no column, {_only(path, present)}"
                )
            found[ours] = names[ours]
            continue
        known = [plain[alias] for alias in aliases if alias in plain]
        if known:
            found[ours] = known[0]
    for ours in ("inputs", "labels"):
        if ours not in found:
            raise UserError(
                f"{path}: has no column {ours}, {_only(path, present)}: name it in task.columns"
            )
    if len(present) != len(set(present)):
        twice = next(name for name in present if present.count(name) > 1)
        raise UserError(f"{path}: has two columns {brief(twice)}: rename one")
    return found, [name for name in present if name not in found.values()]


def _only(path: Path, present: Sequence[str]) -> str:
    return f"only {', '.join(map(brief, present[:8]))}" if present else f"{path} has none at all"


def _text(path: Path) -> io.TextIOWrapper:
    packed = path.suffix.lower() == ".gz"
    buffered = io.BufferedReader(gzip.GzipFile(path) if packed else io.FileIO(path))
    wide = buffered.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff")
    return io.TextIOWrapper(buffered, "utf-16" if wide else "utf-8-sig", newline="")


def _csv(source: Source, names: Mapping[str, str], complaints: Complaints) -> Iterator[Chunk]:
    path = source.path
    with closing(_text(path)) as file:
        head = file.readline(_LONGEST)
        if not head.strip():
            raise UserError(f"{path}: is empty: give a header and rows")
        mark = delimiter(head)
        header = next(csv.reader([head], delimiter=mark))
        found, unread = columns_of(path, header, names)
        places = {ours: header.index(theirs) for ours, theirs in found.items()}
        reader, before = csv.reader(file, delimiter=mark, strict=True), 0
        while rows := _some(reader, path):
            numbers = np.arange(before + 1, before + 1 + len(rows))
            before += len(rows)
            whole = np.fromiter((len(row) == len(header) for row in rows), bool, len(rows))
            for k in np.flatnonzero(~whole):
                if rows[k]:
                    complaints.row(
                        path, int(numbers[k]), "columns",
                        f"there are {len(rows[k])}, and the header has {len(header)}: "
                        f"put cells that hold {mark!r} between quotes",
                    )  # fmt: skip
            kept = [row for row, fits in zip(rows, whole, strict=True) if fits]
            columns: dict[str, Column] = {
                ours: [row[k] for row in kept] for ours, k in places.items()
            }
            yield Chunk(numbers[whole], columns, tuple(unread))


def _some(reader: Any, path: Path) -> list[list[str]]:
    """The next rows of a CSV.

    Raises:
        UserError: the line that is none.
    """
    try:
        return list(islice(reader, ROWS))
    except csv.Error as error:
        line = reader.line_num + 1  # with the header
        raise UserError(f"{path}, line {line}: {error}: mend its quotes") from error


def delimiter(head: str) -> str:
    """What stands between the columns of a header: a comma, a semicolon, a tab or a bar.

    >>> delimiter("inputs;labels"), delimiter("a\\tb"), delimiter("inputs,labels")
    (';', '\\t', ',')
    """
    known = {alias for aliases in ALIASES.values() for alias in aliases}

    def fit(mark: str) -> tuple[int, int]:
        cells = next(csv.reader([head], delimiter=mark))
        return len(known & {cell.strip().lower() for cell in cells}), len(cells)

    return max(",;\t|", key=fit)


def _json(source: Source, names: Mapping[str, str], complaints: Complaints) -> Iterator[Chunk]:
    path, before = source.path, 0
    found: dict[str, str] | None = None
    unread: list[str] = []
    with closing(_text(path)) as file:
        while lines := list(islice(file, ROWS)):
            rows, numbers = [], []
            for number, line in enumerate(lines, before + 1):
                if not line.strip():
                    continue
                row = _object(path, number, line, complaints)
                if row is None:
                    continue
                if found is None:
                    found, unread = columns_of(path, list(row), names)
                missing = [theirs for theirs in found.values() if theirs not in row]
                if missing:
                    complaints.row(path, number, missing[0], "is missing: give it a value")
                    continue
                rows.append(row)
                numbers.append(number)
            before += len(lines)
            yield Chunk(
                np.array(numbers, dtype=np.int64),
                {ours: [row[name] for row in rows] for ours, name in (found or {}).items()},
                tuple(unread),
            )
    if not before:
        raise UserError(f"{path}: is empty: give a JSON object a line")


def _object(path: Path, number: int, line: str, complaints: Complaints) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        complaints.row(path, number, "line", f"{brief(line.strip())} is not JSON: mend it")
        return None
    if not isinstance(row, dict):
        complaints.row(
            path, number, "line", f"{brief(line.strip())} is no JSON object: give one a line"
        )
        return None
    return row


def _parquet(source: Source, names: Mapping[str, str], complaints: Complaints) -> Iterator[Chunk]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, before = source.path, 0
    try:
        with closing(pq.ParquetFile(path)) as file:
            found, unread = columns_of(path, file.schema_arrow.names, names)
            wanted = list(dict.fromkeys(found.values()))
            for batch in file.iter_batches(ROWS, columns=wanted):
                rows = np.arange(before + 1, before + 1 + batch.num_rows)
                before += batch.num_rows
                cells = {k: _arrow(batch.column(name)) for k, name in found.items()}
                yield Chunk(rows, cells, tuple(unread))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(
            f"{path}: is no Parquet file that is read: {reason}: write it again"
        ) from error


def _arrow(column: Any) -> Column:
    import pyarrow.types as kinds

    kind = column.type
    lists = kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind)
    if lists and kinds.is_integer(kind.value_type) and not column.null_count:
        values, lengths = column.flatten(), column.value_lengths()
        if not values.null_count:
            return Ragged(
                values.to_numpy(zero_copy_only=False).astype(np.int64),
                np.asarray(lengths.to_numpy(zero_copy_only=False), dtype=np.int64),
            )
    cells: list[Any] = column.to_pylist()
    return cells


def _arrays(source: Source, names: Mapping[str, str], complaints: Complaints) -> Iterator[Chunk]:
    path = source.path
    arrays = dict(_loaded(source))
    found, unread = columns_of(path, list(arrays), names)
    columns = {ours: _whole(path, ours, arrays[name]) for ours, name in found.items()}
    counts = {ours: len(column) for ours, column in columns.items()}
    count = counts["inputs"]
    for ours, other in counts.items():
        if other != count:
            raise UserError(
                f"{path}: has {other:,} rows of {ours} and {count:,} of inputs: "
                "give as many of each"
            )
    for begin in range(0, count, ROWS):
        rows = np.arange(begin + 1, min(begin + ROWS, count) + 1)
        cells = {k: column[begin : begin + ROWS] for k, column in columns.items()}
        yield Chunk(rows, cells, tuple(unread))


def _loaded(source: Source) -> Iterator[tuple[str, Any]]:
    """The arrays of a folder, of an npz, or the fields of one npy."""
    path = source.path
    try:
        if source.kind == "folder":
            known = {alias for aliases in ALIASES.values() for alias in aliases}
            for file in source.files():
                if file.stem in known:
                    yield file.stem, np.load(file, mmap_mode="r", allow_pickle=False)
            return
        if source.kind == ".npz":
            with np.load(path, allow_pickle=False) as file:
                for name in file.files:
                    yield name, file[name]
            return
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        for name in array.dtype.names or ():
            yield name, array[name]
    except ValueError as error:  # Python objects would have to be unpickled, or it is no array
        empty = "empty" in str(error)
        what = "holds no example" if empty else "holds Python objects, or is no file of NumPy"
        raise UserError(f"{path}: {what}: save arrays of whole numbers or of texts") from error


def _whole(path: Path, name: str, array: NDArray[Any]) -> Any:
    if array.ndim == 0:
        raise UserError(f"{path}: {name} is a single value: give an array with a row an example")
    if array.dtype.kind not in "iubfUS":
        raise UserError(f"{path}: {name} holds {array.dtype}: give whole numbers or texts")
    return array.reshape(len(array), -1) if array.ndim > 2 else array
