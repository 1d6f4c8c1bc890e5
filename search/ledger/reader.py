"""A run's ledger as it stands, read without a lock: a driver may be writing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import pyarrow as pa

from search.ledger.book import Book, curve_columns
from search.ledger.files import RUN_FILE, DamagedFileError
from search.ledger.parquet import (
    BLOCK,
    CURVES,
    merge_curves,
    part,
    parts,
    read_curve_part,
    stored_curves,
)
from search.ledger.state import LedgerState
from search.ledger.storage import Place, Remote, place
from search.ledger.trial import Row, Trial
from trm.errors import UserError


def holds_ledger(folder: Place | str) -> bool:
    """Whether a run was started in a folder, so that it is to be opened and not created."""
    return (place(folder) / "trials").is_dir()


def read_trials(folder: Place | str) -> dict[int, Trial]:
    """The trials of a run, without a lock: a driver may be writing."""
    return LedgerState(existing(folder)).trials


def read_curves(folder: Place | str) -> pa.Table:
    """Every acknowledged report of a run, without a lock: a driver may be writing."""
    path = existing(folder)
    tail = LedgerState(path).tail
    stored = parts(path / "curves")
    tables = []
    for block in sorted(stored.keys() | {trial // BLOCK for trial in tail}):
        rows = [row for trial, rows in tail.items() if trial // BLOCK == block for row in rows]
        tables.append(merge_curves(read_curve_part(part(path / "curves", block)), rows))
    return pa.concat_tables(tables) if tables else CURVES.empty_table()


def read_book(folder: Place | str) -> Book:
    """The trials and curves of a run, without a lock; what comes later is not in it."""
    return Snapshot(folder)


class Snapshot(Book):
    def __init__(self, folder: Place | str) -> None:
        super().__init__()
        self._folder = existing(folder)
        state = LedgerState(self._folder)
        self.trials.update(state.trials)
        self.attempts.update(state.attempts)
        self._tail.update(state.tail)

    def curve(self, trial_id: int) -> list[Row]:
        return curve_of(self._folder, trial_id, self._tail)

    def curves(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, list[Row]]]:
        return joined_curves(self._folder, self.trials, self._tail, columns)


def curve_of(folder: Place, trial: int, tail: Mapping[int, list[Row]]) -> list[Row]:
    table = read_curve_part(part(folder / "curves", trial // BLOCK), trial)
    return merge_curves(table, tail.get(trial, ())).to_pylist()  # type: ignore[no-any-return]


def joined_curves(
    folder: Place,
    trials: Mapping[int, Trial],
    tail: Mapping[int, list[Row]],
    columns: Sequence[str] | None,
) -> Iterator[tuple[int, list[Row]]]:
    """Each file is read once, a piece at a time; compaction may run in between."""
    wanted = curve_columns(columns)
    for block, numbers in groupby(list(trials), key=lambda number: number // BLOCK):
        newer = {number: list(tail.get(number, ())) for number in numbers}
        yield from stored_curves(part(folder / "curves", block), newer, wanted)


def existing(folder: Place | str) -> Place:
    """The place of a run, which is there.

    Raises:
        UserError: no run is there, or its trials or log are gone.
    """
    path = place(folder).absolute()
    # An object store has no empty folders: its log is there once it holds something.
    begun = isinstance(path, Remote) or (path / "log").is_dir()
    if begun and (path / "trials").is_dir():
        return path
    if (path / RUN_FILE).is_file():
        raise DamagedFileError(path / ("trials" if begun else "log"), "is missing")
    raise UserError(str(path), None, "holds no run; check the path")
