"""Storage that is full, read-only or gone while a ledger writes: nothing is lost, and it waits."""

from __future__ import annotations

import errno
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import pytest

from search.ledger.journal import Journal, JournalRecord
from search.ledger.ledger import COMPACT_EVERY, Ledger
from search.ledger.log import read_journal
from search.ledger.reader import read_book
from search.ledger.room import Room
from search.ledger.seal import seal_line
from search.ledger.storage import write_folder
from tests.search.ledger.test_ledger import crash, row
from tests.support.small_disk import fill, small_disk
from trm.blame import StorageError


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.ledger.room.ASK_SECONDS", 0.05)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, "600k") as folder:
        yield folder


def patient(ledger: Ledger, seconds: float = 20.0) -> list[str]:
    lines: list[str] = []
    ledger.room.seconds, ledger.room.say = seconds, lines.append
    return lines


def begun(folder: Path) -> Ledger:
    ledger = Ledger.create(folder)
    ledger.add_trial(stage="explore", params={}, config={}, seed=1)
    ledger.begin_attempt(0)
    return ledger


@contextmanager
def later(seconds: float, heal: Callable[[], object]) -> Iterator[None]:
    timer = threading.Timer(seconds, heal)
    timer.start()
    try:
        yield
    finally:
        timer.join()


@contextmanager
def no_longer_files(size: int) -> Iterator[None]:
    """Every file of this process ends there, as at a quota: the kernel says EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def fill_up(ledger: Ledger, first: int, last: int) -> None:
    for mark in range(first, last + 1):
        assert ledger.acknowledge(0, 1, row(mark), f"checkpoints/0/1/{mark}")


def marks(folder: Path) -> list[int]:
    return [one["mark"] for one in read_book(folder).curve(0)]


def test_a_full_disk_that_is_freed_loses_and_doubles_nothing(disk: Path) -> None:
    ledger = begun(disk / "run")
    lines = patient(ledger)
    fill_up(ledger, 1, 3)
    filler = fill(disk)
    with later(0.4, filler.unlink):
        fill_up(ledger, 4, 30)
    assert len(lines) == 2
    assert lines[0].startswith(f"{disk}/run: No space left on device; 1 MiB are needed: free ")
    assert lines[1] == f"{disk}/run: takes what is written again: the sweep goes on"
    assert marks(disk / "run") == list(range(1, 31))
    crash(ledger)
    with Ledger.open(disk / "run") as ledger:
        assert ledger.trials[0].mark == 30
        assert [one["mark"] for one in ledger.curve(0)] == list(range(1, 31))
    assert marks(disk / "run") == list(range(1, 31))
    assert not list(disk.glob("run/.room-*"))


def test_what_a_look_does_not_see_is_waited_for_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a remount of what holds the log alone."""
    ledger = begun(tmp_path / "run")
    lines = patient(ledger)
    fill_up(ledger, 1, 2)
    write, refusing = Journal._write, True

    def refuse(file: BinaryIO, record: JournalRecord) -> None:
        if refusing:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        write(file, record)

    def heal() -> None:
        nonlocal refusing
        refusing = False

    monkeypatch.setattr(Journal, "_write", staticmethod(refuse))
    with later(0.4, heal):
        fill_up(ledger, 3, 4)
    assert len(lines) == 2
    assert "Read-only file system" in lines[0]
    assert marks(tmp_path / "run") == [1, 2, 3, 4]
    refusing, ledger.room.seconds = True, 0.2
    with pytest.raises(StorageError, match="Read-only file system"):
        fill_up(ledger, 5, 5)
    assert len(lines) == 3


def test_a_limit_of_file_sizes_needs_no_root(tmp_path: Path) -> None:
    ledger = begun(tmp_path / "run")
    lines = patient(ledger, 0.2)
    with no_longer_files(3000), pytest.raises(StorageError, match="nothing is lost"):
        fill_up(ledger, 1, 30)
    known = marks(tmp_path / "run")
    assert known == list(range(1, ledger.trials[0].mark + 1))
    assert len(lines) == 1
    ledger.close()
    with Ledger.open(tmp_path / "run") as ledger:
        fill_up(ledger, len(known) + 1, 30)
    assert marks(tmp_path / "run") == list(range(1, 31))


def test_storage_that_stays_full_ends_in_a_line_and_resumes(disk: Path) -> None:
    ledger = begun(disk / "run")
    patient(ledger, 0.3)
    fill_up(ledger, 1, 3)
    filler = fill(disk)
    begun_at = time.monotonic()
    with pytest.raises(StorageError) as caught:
        fill_up(ledger, 4, 60)
    assert 0.3 <= time.monotonic() - begun_at < 5.0
    assert str(caught.value).count("\n") == 0
    last = ledger.trials[0].mark
    ledger.close()
    filler.unlink()
    with Ledger.open(disk / "run") as ledger:
        assert ledger.trials[0].mark == last >= 3
        assert [one["mark"] for one in ledger.curve(0)] == list(range(1, last + 1))


def test_a_wait_can_be_interrupted(disk: Path) -> None:
    ledger = begun(disk / "run")
    patient(ledger)
    fill(disk)
    ledger.room.stopped = lambda: True
    with pytest.raises(KeyboardInterrupt):
        fill_up(ledger, 1, 60)
    ledger.close()


def test_without_patience_an_error_is_raised_at_once(disk: Path) -> None:
    ledger = begun(disk / "run")
    fill(disk)
    with pytest.raises(OSError, match="No space left"):
        fill_up(ledger, 1, 60)
    ledger.close()


def test_a_compaction_without_room_is_put_off(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.ledger.ledger.COMPACT_EVERY", 20)
    ledger = begun(disk / "run")
    assert COMPACT_EVERY > 20
    fill(disk, leave=40_000)
    with suppress(OSError):
        fill_up(ledger, 1, 60)
    assert ledger.trials[0].mark > 20
    before = ledger.trials[0].mark
    ledger.close()
    (disk / "filler").unlink()
    assert marks(disk / "run") == list(range(1, before + 1))
    assert not list(disk.glob("run/*/.*.tmp"))
    with Ledger.open(disk / "run") as ledger:
        fill_up(ledger, before + 1, before + 2)
    assert len(list((disk / "run" / "log").iterdir())) == 1


def test_a_segment_without_its_first_line_hides_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    journal = Journal(log, 1)
    journal.append({"k": "pause", "t": 0})
    stored = journal._file
    assert stored is not None
    stored.write(seal_line({"n": 2, "k": "preempted", "t": 0}))  # never acknowledged
    journal._end_segment()
    (log / "000002.jsonl").touch()
    (log / "000003.jsonl").write_bytes(b'{"schema_ver')
    assert journal.append({"k": "pause", "t": 1}) == 2
    found = read_journal(log)
    assert [(one["n"], one["t"]) for one in found.records] == [(1, 0), (2, 1)]
    assert found.damages(0) == []


def test_a_checkpoint_that_does_not_fit_leaves_nothing(disk: Path) -> None:
    def save(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder.parent / f".{folder.name}.7.partial").mkdir()
        (folder / "weights").write_bytes(bytes(10 << 20))

    with pytest.raises(OSError, match="No space left"):
        write_folder(disk / "checkpoints" / "3", save)
    assert list((disk / "checkpoints").iterdir()) == []


def test_a_look_says_whether_so_much_fits(disk: Path) -> None:
    room = Room(disk)
    assert room.refuses(100_000) == ""
    assert room.refuses(10 << 20).startswith("No space left on device (1 MiB free)")
    assert list(disk.iterdir()) == []
    assert Room(disk / "gone").refuses() == "No such file or directory"


def test_many_who_wait_need_room_together(disk: Path) -> None:
    room, lines = Room(disk), list[str]()
    room.seconds, room.say = 20.0, lines.append
    room.hold("a", "full", 400_000)
    room.hold("b", "full", 400_000)
    time.sleep(0.1)
    assert room.holds()
    room.hold("b", "full", 100_000)
    time.sleep(0.1)
    assert not room.holds()
    assert len(lines) == 2
