"""A run's ledger as it stands, read without a lock: a driver may be writing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import pyarrow as pa

from search.ledger.attempts import FOLDER as ATTEMPTS_FOLDER
from search.ledger.attempts import Attempt, read_attempts_part
from search.ledger.book import Book, apply, curve_columns, note_attempt, row_of
from search.ledger.journal import SCHEMA_VERSION, read_journal
from search.ledger.parquet import (
    BLOCK,
    CURVES,
    merge_curves,
    part,
    parts,
    read_curve_part,
    read_trial_part,
    sequence_of,
    stored_curves,
)
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


class LedgerState:
    """What log and Parquet files say together.

    The log is read first: what compaction removes from it meanwhile is in the files by then.
    """

    def __init__(self, folder: Place) -> None:
        records = list(read_journal(folder / "log"))
        self.trials: dict[int, Trial] = {}
        self.attempts: dict[int, list[Attempt]] = {}
        self.tail: dict[int, list[Row]] = defaultdict(list)
        self.dirty: set[int] = set()
        self.records = len(records)
        trials_at, curves_at, attempts_at = {}, {}, {}
        for block, path in parts(folder / "trials").items():
            trials, trials_at[block], version = read_trial_part(path)
            self.trials.update((trial.id, trial) for trial in trials)
            if version < SCHEMA_VERSION:
                self.dirty.add(block)  # the next compaction writes it anew
        for block, path in parts(folder / "curves").items():
            curves_at[block] = sequence_of(path)
        for block, path in parts(folder / ATTEMPTS_FOLDER).items():
            attempts, attempts_at[block] = read_attempts_part(path)
            for attempt in attempts:
                self.attempts.setdefault(attempt.trial, []).append(attempt)
        stored = [*trials_at.values(), *curves_at.values(), *attempts_at.values()]
        self.sequence = max([0, *stored, *(record["n"] for record in records)])
        for record in records:
            block = record["t"] // BLOCK
            row = row_of(record)
            if record["n"] > trials_at.get(block, 0):
                apply(self.trials, record)
                self.dirty.add(block)
            if row is not None and record["n"] > curves_at.get(block, 0):
                self.tail[record["t"]].append(row)
                self.dirty.add(block)
            if record["n"] > attempts_at.get(block, 0):
                note_attempt(self.attempts, record)


def existing(folder: Place | str) -> Place:
    path = place(folder).absolute()
    # An object store has no empty folders: its log is there once it holds something.
    begun = isinstance(path, Remote) or (path / "log").is_dir()
    if not begun or not (path / "trials").is_dir():
        raise UserError(str(path), None, "holds no run; check the path")
    return path
