"""The only truth of a run folder: its trials, their attempts and every acknowledged report.

A run folder holds `log/` (what happened since the last compaction), `trials/` and `curves/`
(Parquet, readable with `pyarrow.dataset`), `checkpoints/` and `lock`, or `lease.json` on an object
store.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from search.book import Book, apply, curve_columns, row_of
from search.checkpoints import is_own, keep_only
from search.journal import SCHEMA_VERSION, Journal, Record, read_journal, sync_folder
from search.lease import Lease
from search.lock import FileLock
from search.object_journal import ObjectJournal
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
    stored_curves,
    trial_row,
    write_part,
)
from search.place import LEASE_FILE, Place, Remote, place, remove_tree
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
FILES_PER_COMPACTION = 4
"""Compacting writes every file anew whose trials changed: with more than these it is put off in
proportion, or reports of trials all over the run would cost a rewriting of it every time."""


class Ledger(Book):
    """A run folder, open for writing by this process alone.

    On a local disk every method that changes something returns after the disk has it. On an object
    store it is stored within 5 seconds, or by `flush`; a checkpoint that the store's last state
    refers to is kept until then.

    Attributes:
        folder: where the run lies.
        scratch: a local folder for what need not outlast this driver; locally the run folder.
    """

    def __init__(self, folder: Place, lock: FileLock | Lease) -> None:
        self.folder = folder
        self._lock = lock
        state = _State(folder)
        super().__init__()
        self.trials.update(state.trials)
        self._tail.update(state.tail)
        self._dirty: set[int] = state.dirty
        self._pending = state.records
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._journal: Journal | ObjectJournal
        if isinstance(folder, Path):
            self.scratch = folder
            self._journal = Journal(folder / "log", state.sequence + 1)
        else:
            assert isinstance(lock, Lease)
            self._journal = ObjectJournal(folder / "log", state.sequence + 1, lock)
            self._temporary = tempfile.TemporaryDirectory(prefix="trm-run-")
            self.scratch = Path(self._temporary.name)

    @classmethod
    def create(cls, folder: Place | str) -> Ledger:
        """Start a run in a folder that holds none yet.

        Raises:
            UserError: the folder already holds a run, is another driver's, or cannot be written.
        """
        path = place(folder).absolute()
        try:
            if isinstance(path, Path):
                path.mkdir(parents=True, exist_ok=True)
            lock = _lock(path)
        except OSError as error:
            raise UserError(
                str(path),
                None,
                f"cannot be written ({error.strerror or _line(error)}); choose another folder",
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
    def open(cls, folder: Place | str) -> Ledger:
        """Go on with a run, whatever state its last driver left it in.

        Raises:
            UserError: no run is there, another driver has it, its log is damaged, or a newer
                version of this program wrote it.
        """
        path = _existing(folder)
        lock = _lock(path)
        try:
            return cls(path, lock)
        except BaseException:
            lock.release()
            raise

    def begin_attempt(self, trial_id: int) -> int:
        """The number of a new execution, from 1; reports of any earlier one are ignored."""
        if self.trials[trial_id].checkpoint is not None:
            self.flush()  # the attempt removes all other checkpoints of the trial
        return super().begin_attempt(trial_id)

    def curve(self, trial_id: int) -> list[Row]:
        """A trial's acknowledged reports, by mark."""
        return _curve(self.folder, trial_id, self._tail)

    def curves(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, list[Row]]]:
        """Every trial's id and acknowledged reports by mark, in the order of ids.

        Memory is bounded by the longest curve. What is recorded meanwhile may be missing.

        Args:
            columns: of a report, to read no more than is needed; None is all.
        """
        return _curves(self.folder, self.trials, self._tail, columns)

    def forget_checkpoints(self, trial_id: int, keep: str | None) -> None:
        """Remove a trial's checkpoints but one, given relative to the run folder."""
        self._once_stored(partial(keep_only, self.folder, trial_id, keep))

    def flush(self) -> None:
        """Wait until all that was recorded is stored.

        Raises:
            OSError: an object store does not take it.
            LeaseLostError: another driver has the run now.
        """
        self._journal.flush()

    def check(self) -> None:
        """Make sure that this driver can go on writing, as far as is known; costs nothing.

        Raises:
            OSError: an object store has not taken anything for a minute.
            LeaseLostError: another driver has the run now.
        """
        if isinstance(self._journal, ObjectJournal):
            self._journal.check()

    def compact(self) -> None:
        """Move the log into the Parquet files. A crash at any point loses and repeats nothing."""
        done = self._journal.next_sequence - 1
        older = self._journal.roll()
        for block in sorted(self._dirty):
            if isinstance(self._lock, Lease):
                self._lock.require()
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
            if self._temporary is not None:
                self._temporary.cleanup()

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

    def _once_stored(self, action: Callable[[], None]) -> None:
        if isinstance(self._journal, ObjectJournal):
            self._journal.then(action)
        else:
            action()

    def _record(self, trial_id: int, record: Record) -> None:
        record = {"t": trial_id, **record}
        reports_one = record["k"] == "row" and record.get("checkpoint") is not None
        replaced = self.trials[trial_id].checkpoint if reports_one else None
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
        if isinstance(self._journal, ObjectJournal) and replaced and is_own(trial_id, replaced):
            # Locally the worker removes it: it hears of its report only after it was stored.
            self._journal.then(partial(remove_tree, self.folder / replaced))
        if self._pending >= COMPACT_EVERY * max(1, len(self._dirty) // FILES_PER_COMPACTION):
            self.compact()


def holds_ledger(folder: Place | str) -> bool:
    """Whether a run was started in a folder, so that it is to be opened and not created."""
    return (place(folder) / "trials").is_dir()


def read_trials(folder: Place | str) -> dict[int, Trial]:
    """The trials of a run, without a lock: a driver may be writing."""
    return _State(_existing(folder)).trials


def read_curves(folder: Place | str) -> pa.Table:
    """Every acknowledged report of a run, without a lock: a driver may be writing."""
    path = _existing(folder)
    tail = _State(path).tail
    stored = parts(path / "curves")
    tables = []
    for block in sorted(stored.keys() | {trial // BLOCK for trial in tail}):
        rows = [row for trial, rows in tail.items() if trial // BLOCK == block for row in rows]
        tables.append(merge_curves(read_curve_part(part(path / "curves", block)), rows))
    return pa.concat_tables(tables) if tables else CURVES.empty_table()


def read_book(folder: Place | str) -> Book:
    """The trials and curves of a run, without a lock; what comes later is not in it."""
    return _Snapshot(folder)


class _Snapshot(Book):
    def __init__(self, folder: Place | str) -> None:
        super().__init__()
        self._folder = _existing(folder)
        state = _State(self._folder)
        self.trials.update(state.trials)
        self._tail.update(state.tail)

    def curve(self, trial_id: int) -> list[Row]:
        return _curve(self._folder, trial_id, self._tail)

    def curves(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, list[Row]]]:
        return _curves(self._folder, self.trials, self._tail, columns)


def _curve(folder: Place, trial: int, tail: Mapping[int, list[Row]]) -> list[Row]:
    table = read_curve_part(part(folder / "curves", trial // BLOCK), trial)
    return merge_curves(table, tail.get(trial, ())).to_pylist()  # type: ignore[no-any-return]


def _curves(
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


class _State:
    """What log and Parquet files say together.

    The log is read first: what compaction removes from it meanwhile is in the files by then.
    """

    def __init__(self, folder: Place) -> None:
        records = list(read_journal(folder / "log"))
        self.trials: dict[int, Trial] = {}
        self.tail: dict[int, list[Row]] = defaultdict(list)
        self.dirty: set[int] = set()
        self.records = len(records)
        trials_at, curves_at = {}, {}
        for block, path in parts(folder / "trials").items():
            trials, trials_at[block], version = read_trial_part(path)
            self.trials.update((trial.id, trial) for trial in trials)
            if version < SCHEMA_VERSION:
                self.dirty.add(block)  # the next compaction writes it anew
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


def _existing(folder: Place | str) -> Place:
    path = place(folder).absolute()
    # An object store has no empty folders: its log is there once it holds something.
    begun = isinstance(path, Remote) or (path / "log").is_dir()
    if not begun or not (path / "trials").is_dir():
        raise UserError(str(path), None, "holds no run; check the path")
    return path


def _lock(path: Place) -> FileLock | Lease:
    return FileLock(path / "lock") if isinstance(path, Path) else Lease(path / LEASE_FILE)


def _make_folders(path: Place) -> None:
    # `trials` says that a run is here, so it comes last: a creation cut short is begun anew.
    if isinstance(path, Remote):
        for name, schema in (("log", None), ("curves", CURVES), ("trials", TRIALS)):
            remove_tree(path / name)
            if schema is not None:
                write_part(part(path / name, 0), [], schema, 0)
        return
    hidden = path / ".trials"
    for folder, schema in ((path / "log", None), (path / "curves", CURVES), (hidden, TRIALS)):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if schema is not None:
            write_part(part(folder, 0), [], schema, 0)
    os.replace(hidden, path / "trials")
    sync_folder(path)


def _line(error: OSError) -> str:
    return " ".join(str(error).split())[:300]
