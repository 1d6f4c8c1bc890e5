"""One reading of all files: every row as provisional tokens, kept on disk, and what it says."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from trm.errors import UserError
from trm.tasks.base import Progress
from trm.tasks.cache import SPLITS
from trm.tasks.data.cells import Encoded, Lexicon, are_texts, encode, separator_of
from trm.tasks.data.complaints import Complaints, brief
from trm.tasks.data.files import Source, split_named
from trm.tasks.data.tables import ROWS, Chunk, Ragged, read_chunks

CELLS = ("inputs", "labels", "draft")
"""Columns that hold tokens."""


class Flat:
    """The cells of a column, end to end in a file without a name, and their lengths."""

    def __init__(self, folder: Path | None) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._parts: list[NDArray[np.int32]] = []
        self._lengths: NDArray[np.int32] | None = None

    def add(self, values: NDArray[np.int32], lengths: NDArray[np.int64]) -> None:
        """Append the cells of a chunk."""
        self._file.write(np.ascontiguousarray(values, dtype=np.int32).data)
        self._parts.append(lengths.astype(np.int32))

    @property
    def lengths(self) -> NDArray[np.int32]:
        """The length of each cell."""
        if self._lengths is None:
            self._lengths = np.concatenate(self._parts) if self._parts else np.empty(0, np.int32)
        return self._lengths

    def chunks(self) -> Iterator[tuple[slice, NDArray[np.int32], NDArray[np.int64]]]:
        """The cells again, in order: which rows, their values and their lengths."""
        self._file.seek(0)
        for begin in range(0, len(self.lengths), ROWS):
            lengths = self.lengths[begin : begin + ROWS].astype(np.int64)
            data = self._file.read(int(lengths.sum()) * 4)
            yield slice(begin, begin + len(lengths)), np.frombuffer(data, np.int32), lengths


@dataclass
class Gathered:
    """What the files hold.

    Attributes:
        sources: the files.
        separator: what stands between the tokens of texts.
        texts: whether inputs are texts of single characters.
        names: tokens by their provisional number.
        flat: the cells of `inputs`, `labels` and, where there is one, `draft`.
        source: the index of each row's file, int16 `[n]`.
        row: its number there, from 1, int32 `[n]`.
        split: the index of its split, -1 where nothing says one, int8 `[n]`.
        difficulty: float32 `[n]`; None without such a column.
        identifier: the index of its name in `identifiers`, int32 `[n]`; None without one.
        group: the index of its group, int32 `[n]`; None without one.
        identifiers: the names of puzzles.
        puzzle: the index of its puzzle, int32 `[n]`; None where files have no such level.
        unread: columns of the first file that nothing is read from.
        draws_valid: whether `valid` was drawn from `train`, and not given.
    """

    sources: list[Source]
    separator: str = ""
    texts: bool = False
    names: list[str] = field(default_factory=list)
    flat: dict[str, Flat] = field(default_factory=dict)
    source: NDArray[np.int16] = field(default_factory=lambda: np.empty(0, np.int16))
    row: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    split: NDArray[np.int8] = field(default_factory=lambda: np.empty(0, np.int8))
    difficulty: NDArray[np.float32] | None = None
    identifier: NDArray[np.int32] | None = None
    group: NDArray[np.int32] | None = None
    identifiers: list[str] = field(default_factory=list)
    puzzle: NDArray[np.int32] | None = None
    unread: tuple[str, ...] = ()
    draws_valid: bool = False

    def __len__(self) -> int:
        return len(self.row)

    def place(self, index: int) -> tuple[Path, int]:
        """The file and the row of an example."""
        return self.sources[self.source[index]].path, int(self.row[index])

    def where(self, index: int) -> str:
        """The same in words."""
        path, row = self.place(index)
        return f"{path}, row {row}"


def gather(
    sources: list[Source],
    names: Mapping[str, str],
    separator: str | None,
    complaints: Complaints,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Gathered:
    """Read all rows once.

    Args:
        names: what columns are called in the files, by our names.
        separator: what stands between tokens of a text; None finds out.
        folder: where cells are kept meanwhile; None is the system's for temporary files.
        progress: told how many of the files are read.

    Raises:
        UserError: a file cannot be read, or there is no row; or as `complaints`.
    """
    found = Gathered(sources)
    lexicon, identifiers, groups = Lexicon(), Lexicon(), Lexicon()
    parts: dict[str, list[NDArray[Any]]] = {}
    for index, source in enumerate(sources):
        for chunk in read_chunks(source, names, complaints):
            if separator is None:
                separator = separator_of([chunk.columns[name] for name in ("inputs", "labels")])
            if not found.flat:
                found.unread = chunk.unread
                found.texts = not separator and are_texts(chunk.columns["inputs"])
            good, encoded = _encoded(source, chunk, separator, lexicon, complaints)
            plain = _plain(source, chunk, good, identifiers, groups, complaints)
            if found.flat and set(found.flat) != set(encoded):
                raise UserError(f"{source.path}: has other columns than the files before it")
            for name, cells in encoded.items():
                flat = found.flat.setdefault(name, Flat(folder))
                kept = np.repeat(good, cells.lengths)
                flat.add(cells.values[kept], cells.lengths[good])
            count = int(good.sum())
            plain["row"] = chunk.rows[good].astype(np.int32)
            plain["source"] = np.full(count, index, dtype=np.int16)
            for name, values in plain.items():
                parts.setdefault(name, []).append(values)
        if progress is not None:
            progress("reading rows", (index + 1) / len(sources))
    found.separator, found.names = separator or "", lexicon.names
    columns = {name: np.concatenate(values) for name, values in parts.items()}
    if not len(columns.get("row", ())):
        raise UserError(f"{sources[0].path}: holds no valid example: give rows below the header")
    for name, values in columns.items():
        if len(values) != len(columns["row"]):
            raise UserError(f"{sources[-1].path}: only some of the files have the column {name}")
        setattr(found, name, values)
    found.identifiers = identifiers.names
    return found


def _encoded(
    source: Source, chunk: Chunk, separator: str, lexicon: Lexicon, complaints: Complaints
) -> tuple[NDArray[np.bool_], dict[str, Encoded]]:
    """The cells of a chunk, and which rows have good ones."""
    encoded: dict[str, Encoded] = {}
    good = np.ones(len(chunk.rows), dtype=bool)
    for name in CELLS:
        if name in chunk.columns:

            def complain(k: int, what: str, name: str = name) -> None:
                complaints.row(source.path, int(chunk.rows[k]), name, what)

            encoded[name] = encode(chunk.columns[name], separator, lexicon, complain)
            good &= encoded[name].good
    return good, encoded


def _plain(
    source: Source,
    chunk: Chunk,
    good: NDArray[np.bool_],
    identifiers: Lexicon,
    groups: Lexicon,
    complaints: Complaints,
) -> dict[str, NDArray[Any]]:
    """The other columns of the good rows; what is wrong with them makes a row no good."""

    def complain(k: int, column: str, what: str) -> None:
        if good[k]:
            good[k] = False
            complaints.row(source.path, int(chunk.rows[k]), column, what)

    values = {
        name: column.lengths if isinstance(column, Ragged) else column
        for name, column in chunk.columns.items()
        if name not in CELLS
    }
    splits = np.full(len(chunk.rows), -1 if source.split is None else SPLITS.index(source.split))
    for k, cell in enumerate(values.get("split", ())):
        named = split_named(_word(cell))
        if named is None:
            complain(k, "split", f"{brief(cell)} is none of train, valid, test")
        elif source.split not in (None, named):
            complain(k, "split", f"is {named}, and the file is named after {source.split}")
        else:
            splits[k] = SPLITS.index(named)
    found: dict[str, NDArray[Any]] = {"split": splits.astype(np.int8)}
    if "difficulty" in values:
        numbers = np.zeros(len(chunk.rows), dtype=np.float32)
        for k, cell in enumerate(values["difficulty"]):
            number = _number(cell)
            if number is None:
                complain(k, "difficulty", f"{brief(cell)} is no finite number: give one")
            else:
                numbers[k] = number
        found["difficulty"] = numbers
    for name, lexicon, ours in (
        ("puzzle_identifier", identifiers, "identifier"), ("group", groups, "group")
    ):  # fmt: skip
        if name in values:
            words = [_word(cell) for cell in values[name]]
            for k, word in enumerate(words):
                if not word:
                    complain(k, name, "is missing: give it a value")
            found[ours] = np.array([lexicon.number(word) for word in words], dtype=np.int32)
    return {name: column[good] for name, column in found.items()}


def _word(cell: Any) -> str:
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return ""
    return cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell).strip()


def _number(cell: Any) -> float | None:
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(np.float32(number)) else None
