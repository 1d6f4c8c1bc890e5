"""The only truth of a run folder: its trials, their attempts and every acknowledged report.

A run folder holds `log/` (what happened since the last compaction), `trials/` and `curves/`
(Parquet, readable with `pyarrow.dataset`), `checkpoints/` and `lock`.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from search.book import Book, apply, row_of
from search.checkpoints import keep_only
from search.journal import Journal, Record, read_journal, sync_folder
from search.lock import FileLock
from search.parts import (
    BLOCK,
    CURVES,
    TRIALS,
    Outcome,
    Row,
    StageName,
    Trial,
    extend_curves,
    merge_curves,
    part,
    parts,
    read_curve_part,
    read_trial_part,
    sequence_of,
    trial_row,
    write_part,
)
from trm.errors import UserError

__all__ = [
    "Ledger",
    "Outcome",
    "StageName",
    "Trial",
    "holds_ledger",
    "read_book",
    "read_curves",
    "read_trials",
]

COMPACT_EVERY = 2000
"""Log records between two compactions; also the most curve rows that are held in memory."""


class Ledger(Book):
    """A run folder, open for writing by this process alone.

    Every method that changes something returns after the disk has it.
    """

    def __init__(self, folder: Path, lock: FileLock) -> None:
        self.folder = folder
        self._lock = lock
        state = _State(folder)
        super().__init__()
        self.trials.update(state.trials)
        self._tail.update(state.tail)
        self._dirty: set[int] = state.dirty
        self._pending = state.records
        self._journal = Journal(folder / "log", state.sequence + 1)

    @classmethod
    def create(cls, folder: Path | str) -> Ledger:
        """Start a run in a folder that holds none yet.

        Raises:
            UserError: the folder already holds a run, cannot be written, or is a URI.
        """
        path = _local(folder)
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path / "lock")
        except OSError as error:
            raise UserError(
                str(path), None, f"cannot be written ({error.strerror}); choose another folder"
            ) from error
        try:
            if holds_ledger(path):
                raise UserError(
                    str(path),
                    None,
                    "already holds a run; resume it with --resume or choose another --out",
                )
            _make_folders(path)
            return cls(path, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, folder: Path | str) -> Ledger:
        """Go on with a run, whatever state its last driver left it in.

        Raises:
            UserError: no run is there, another driver has it, or its log is damaged.
        """
        path = _existing(folder)
        lock = FileLock(path / "lock")
        try:
            return cls(path, lock)
        except BaseException:
            lock.release()
            raise

    def curve(self, trial_id: int) -> list[Row]:
        """A trial's acknowledged reports, by mark."""
        table = read_curve_part(part(self.folder / "curves", trial_id // BLOCK), trial_id)
        return merge_curves(table, self._tail.get(trial_id, ())).to_pylist()  # type: ignore[no-any-return]

    def curves(self) -> Iterator[tuple[int, list[Row]]]:
        """Every trial that has reported, with its reports by mark, in the order of ids."""
        for number, trial in self.trials.items():
            if trial.mark:
                yield number, self.curve(number)

    def forget_checkpoints(self, trial_id: int, keep: str | None) -> None:
        """Remove a trial's checkpoints but one, given relative to the run folder."""
        keep_only(self.folder, trial_id, keep)

    def compact(self) -> None:
        """Move the log into the Parquet files. A crash at any point loses and repeats nothing."""
        done = self._journal.next_sequence - 1
        older = self._journal.roll()
        for block in sorted(self._dirty):
            rows = [row for trial in self._of(block) for row in self._tail.get(trial.id, ())]
            if rows:
                extend_curves(part(self.folder / "curves", block), rows, done)
            trials = (trial_row(trial) for trial in self._of(block))
            write_part(part(self.folder / "trials", block), trials, TRIALS, done)
        for path in older:
            path.unlink(missing_ok=True)
        self._tail.clear()
        self._dirty.clear()
        self._pending = 0

    def close(self) -> None:
        """Compact and free the folder for another driver."""
        try:
            if self._pending and not self._journal.closed:
                self.compact()
        finally:
            self._journal.close()
            self._lock.release()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _of(self, block: int) -> list[Trial]:
        first = block * BLOCK
        last = min(first + BLOCK, len(self.trials))
        return [self.trials[number] for number in range(first, last)]

    def _record(self, trial_id: int, record: Record) -> None:
        record = {"t": trial_id, **record}
        try:
            self._journal.append(record)
            row = apply(self.trials, record)
            if row is not None:
                self._tail[trial_id].append(row)
            self._dirty.add(trial_id // BLOCK)
            self._pending += 1
        except BaseException:
            # State and log may differ now: only opening the run again makes them equal.
            self._journal.close()
            raise
        if self._pending >= COMPACT_EVERY:
            self.compact()


def holds_ledger(folder: Path | str) -> bool:
    """Whether a run was started in a folder, so that it is to be opened and not created."""
    return (_local(folder) / "trials").is_dir()


def read_trials(folder: Path | str) -> dict[int, Trial]:
    """The trials of a run, without a lock: a driver may be writing."""
    return _State(_existing(folder)).trials


def read_curves(folder: Path | str) -> pa.Table:
    """Every acknowledged report of a run, without a lock: a driver may be writing."""
    path = _existing(folder)
    tail = _State(path).tail
    stored = parts(path / "curves")
    tables = []
    for block in sorted(stored.keys() | {trial // BLOCK for trial in tail}):
        rows = [row for trial, rows in tail.items() if trial // BLOCK == block for row in rows]
        tables.append(merge_curves(read_curve_part(part(path / "curves", block)), rows))
    return pa.concat_tables(tables) if tables else CURVES.empty_table()


def read_book(folder: Path | str) -> Book:
    """The trials and curves of a run, without a lock; what comes later is not in it."""
    return _Snapshot(folder)


class _Snapshot(Book):
    def __init__(self, folder: Path | str) -> None:
        super().__init__()
        self.trials.update(read_trials(folder))
        self._folder = folder
        self._read = False

    def curve(self, trial_id: int) -> list[Row]:
        self._read_all()
        return super().curve(trial_id)

    def curves(self) -> Iterator[tuple[int, list[Row]]]:
        self._read_all()
        return super().curves()

    def _read_all(self) -> None:
        if not self._read:
            self._read = True
            for row in read_curves(self._folder).to_pylist():
                if row["trial"] in self.trials:
                    self._tail[row["trial"]].append(row)


class _State:
    """What log and Parquet files say together.

    The log is read first: what compaction removes from it meanwhile is in the files by then.
    """

    def __init__(self, folder: Path) -> None:
        records = list(read_journal(folder / "log"))
        self.trials: dict[int, Trial] = {}
        self.tail: dict[int, list[Row]] = defaultdict(list)
        self.dirty: set[int] = set()
        self.records = len(records)
        trials_at, curves_at = {}, {}
        for block, path in parts(folder / "trials").items():
            trials, trials_at[block] = read_trial_part(path)
            self.trials.update((trial.id, trial) for trial in trials)
        for block, path in parts(folder / "curves").items():
            curves_at[block] = sequence_of(path)
        stored = [*trials_at.values(), *curves_at.values()]
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


def _local(folder: Path | str) -> Path:
    if "://" in str(folder):
        raise UserError(str(folder), None, "is a URI; a run folder must be a local path for now")
    return Path(folder).absolute()


def _existing(folder: Path | str) -> Path:
    path = _local(folder)
    if not (path / "trials").is_dir() or not (path / "log").is_dir():
        raise UserError(str(path), None, "holds no run; check the path")
    return path


def _make_folders(path: Path) -> None:
    # `trials` says that a run is here, so it comes last: a creation cut short is begun anew.
    hidden = path / ".trials"
    for folder, schema in ((path / "log", None), (path / "curves", CURVES), (hidden, TRIALS)):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if schema is not None:
            write_part(part(folder, 0), [], schema, 0)
    os.replace(hidden, path / "trials")
    sync_folder(path)
