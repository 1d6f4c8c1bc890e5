"""The only truth of a run folder: its trials, their attempts and every acknowledged report.

A run folder holds `log/` (what happened since the last compaction), `trials/`, `curves/` and, where
there are any, `attempts/` (Parquet, readable with `pyarrow.dataset`), `checkpoints/` and `lock`, or
`lease.json` on an object store.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType

from search.ledger.attempts import FOLDER as ATTEMPTS_FOLDER
from search.ledger.attempts import write_attempts
from search.ledger.book import Book, apply, note_attempt
from search.ledger.files import DamagedFileError, ledger_of
from search.ledger.journal import Journal, JournalRecord
from search.ledger.lease import Lease, LeaseLostError
from search.ledger.object_journal import ObjectJournal
from search.ledger.parquet import BLOCK, CURVES, TRIALS, extend_curves, part, trial_row, write_part
from search.ledger.reader import (
    curve_of,
    existing,
    holds_ledger,
    joined_curves,
    read_book,
    read_curves,
    read_trials,
)
from search.ledger.room import Room
from search.ledger.spare import keep_segments, write_base
from search.ledger.state import LedgerState
from search.ledger.storage import LEASE_FILE, Place, Remote, place, remove_tree
from search.ledger.trial import Row, StageName, Trial, is_own, keep_only
from search.objectives.outcome import Outcome
from trm.errors import UserError
from trm.files.lock import FileLock
from trm.files.replace import sync

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
        id: of this ledger, which its files bear.
        scratch: a local folder for what need not outlast this driver; locally the run folder.
        room: what the folder's storage takes; as it comes, nobody waits for it.
    """

    def __init__(self, folder: Place, lock: FileLock | Lease) -> None:
        self.folder = folder
        self.room = Room(folder)
        self._lock = lock
        # Now is the time to find damage, not hours later when the curves are extended.
        state = LedgerState(folder, whole=isinstance(folder, Path))
        super().__init__()
        self.id = state.ledger or uuid.uuid4().hex
        self.trials.update(state.trials)
        self.attempts.update(state.attempts)
        self._tail.update(state.tail)
        self._dirty: set[int] = state.dirty
        self._curves_at = state.curves_at
        self._tells_all = state.tells_all
        self._pending = state.records
        self._postponed = 0
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._journal: Journal | ObjectJournal
        if isinstance(folder, Path):
            self.scratch = folder
            self._journal = Journal(folder / "log", state.sequence + 1, self.id)
        else:
            assert isinstance(lock, Lease)
            self._journal = ObjectJournal(folder / "log", state.sequence + 1, lock, self.id)
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
            lock = lock_of(path)
        except OSError as error:
            raise UserError(
                str(path),
                None,
                f"cannot be written ({error.strerror or _line(error)}); choose another folder",
            ) from error
        try:
            if not holds_ledger(path) and ledger_of(path) is not None:
                # A run was here: its `run.json` is written only once a ledger is there.
                raise DamagedFileError(path / "trials", "is missing")
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
        path = existing(folder)
        lock = lock_of(path)
        try:
            return cls(path, lock)
        except BaseException:
            lock.release()
            raise

    def begin_attempt(self, trial_id: int) -> int:
        """The number of a new execution, from 1; reports of any earlier one are ignored."""
        if self.trials[trial_id].checkpoint is not None:
            # The attempt removes all other checkpoints of the trial.
            self.room.until(self.flush)
        return super().begin_attempt(trial_id)

    def curve(self, trial_id: int) -> list[Row]:
        """A trial's acknowledged reports, by mark."""
        return curve_of(self.folder, trial_id, self._tail)

    def curves(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, list[Row]]]:
        """Every trial's id and acknowledged reports by mark, in the order of ids.

        Memory is bounded by the longest curve. What is recorded meanwhile may be missing.

        Args:
            columns: of a report, to read no more than is needed; None is all.
        """
        return joined_curves(self.folder, self.trials, self._tail, columns)

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

    def wait_for_storage(self, seconds: float, say: Callable[[str], None]) -> None:
        """From now on, wait for storage that is full, read-only or gone.

        Args:
            seconds: how long at most.
            say: is told a line when a wait begins and when it ends.
        """
        self.room.seconds, self.room.say = seconds, say
        if isinstance(self._journal, ObjectJournal):
            self._journal.give_up_after = max(self._journal.give_up_after, seconds)

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
                extend_curves(part(self.folder / "curves", block), rows, done, ledger=self.id)
                self._curves_at[block] = done
            lost = [one for t in self._of(block) for one in self.attempts.get(t.id, ())]
            if lost:
                # Before the trials: what they count is then on record, whenever this is cut short.
                write_attempts(
                    part(_made(self.folder / ATTEMPTS_FOLDER), block), lost, done, ledger=self.id
                )
            trials = (trial_row(trial) for trial in self._of(block))
            path = part(self.folder / "trials", block)
            at = self._curves_at.get(block, 0)
            write_part(
                path, trials, TRIALS, done,
                ledger=self.id, curves=at, attempts=done if lost else 0,
            )  # fmt: skip
        if self._tells_all:
            keep_segments(self.folder, older)
        else:
            number = int(older[-1].stem)
            write_base(self.folder, number, self, done, self.id)
            self._tells_all = True
        for path in older:
            path.unlink(missing_ok=True)
        self._tail.clear()
        self._dirty.clear()
        self._pending = 0

    def close(self) -> None:
        """Compact and free the folder for another driver."""
        try:
            if self._pending and not self._journal.closed:
                self._compact_if_room()
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

    def _record(self, trial_id: int, record: JournalRecord) -> None:
        record = {"t": trial_id, **record}
        reports_one = record["k"] == "row" and record.get("checkpoint") is not None
        replaced = self.trials[trial_id].checkpoint if reports_one else None
        if isinstance(self._lock, FileLock) and self._lock.lost:
            self._journal.close()
            raise LeaseLostError(
                f"{self.folder}: its lock was taken over by another driver while this one hung; it "
                "has stopped"
            )
        try:
            self.room.until(partial(self._journal.append, record))
            row = apply(self.trials, record)
            if row is not None:
                self._tail[trial_id].append(row)
            note_attempt(self.attempts, record)
            self._dirty.add(trial_id // BLOCK)
            self._pending += 1
        except BaseException:
            # State and log may differ now: only opening the run again makes them equal.
            self._journal.close()
            raise
        if isinstance(self._journal, ObjectJournal) and replaced and is_own(trial_id, replaced):
            # Locally the worker removes it: it hears of its report only after it was stored.
            self._journal.then(partial(remove_tree, self.folder / replaced))
        due = COMPACT_EVERY * max(1, len(self._dirty) // FILES_PER_COMPACTION)
        if self._pending >= due + self._postponed:
            self._compact_if_room()

    def _compact_if_room(self) -> None:
        """Compact; later where storage has no room for it: the log holds everything."""
        try:
            self.compact()
            self._postponed = 0
        except OSError as error:
            if not self.room.of_storage(error):
                raise
            self._postponed = self._pending + COMPACT_EVERY // 10


def _made(folder: Place) -> Place:
    if isinstance(folder, Path):
        folder.mkdir(exist_ok=True)
    return folder


def lock_of(path: Place) -> FileLock | Lease:
    return FileLock(path / "lock") if isinstance(path, Path) else Lease(path / LEASE_FILE)


def _make_folders(path: Place) -> None:
    ledger = uuid.uuid4().hex
    # `trials` says that a run is here, so it comes last: a creation cut short is begun anew.
    if isinstance(path, Remote):
        for name, schema in (("log", None), ("curves", CURVES), ("trials", TRIALS)):
            remove_tree(path / name)
            if schema is not None:
                write_part(part(path / name, 0), [], schema, 0, ledger=ledger)
        return
    hidden = path / ".trials"
    for folder, schema in ((path / "log", None), (path / "curves", CURVES), (hidden, TRIALS)):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if schema is not None:
            write_part(part(folder, 0), [], schema, 0, ledger=ledger)
    os.replace(hidden, path / "trials")
    sync(path)


def _line(error: OSError) -> str:
    return " ".join(str(error).split())[:300]
