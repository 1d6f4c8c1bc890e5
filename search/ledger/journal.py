"""An append-only log of JSON lines in numbered segments: a record that was appended is on disk.

`search.ledger.object_journal` writes the same segments to an object store; here both are read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from search.ledger.storage import Place
from trm.errors import UserError

SCHEMA_VERSION = 2

JournalRecord = dict[str, Any]
"""One line: its sequence number `n` and its kind `k`, and whatever the kind needs."""


class Journal:
    """Appends records to a new segment of `folder`, which may hold older ones.

    A crash can tear only the last line of a segment. Because no segment is continued after its
    writer ended, such a line is never glued to a later one.

    Args:
        folder: where the segments are, made if absent.
        next_sequence: the number of the next record, larger than any before it.
    """

    def __init__(self, folder: Path, next_sequence: int) -> None:
        self.folder = folder
        self.next_sequence = next_sequence
        folder.mkdir(parents=True, exist_ok=True)
        self._closed = False
        self._file: BinaryIO | None = self._new_segment()

    def append(self, record: JournalRecord) -> int:
        """Write one record and wait until the disk has it; gives its sequence number.

        Raises:
            OSError: the disk is full or gone. Nothing was appended, and it may be tried again: a
                half-written line may stand at the end of the segment, so that is in a new one.
        """
        if self._closed:
            raise OSError(f"{self.folder}: the log was closed by an earlier error")
        sequence = self.next_sequence
        if self._file is None:
            self._file = self._new_segment()
        try:
            self._write(self._file, {"n": sequence, **record})
        except BaseException:
            self._end_segment()
            raise
        self.next_sequence += 1
        return sequence

    def roll(self) -> list[Place]:
        """Start a new segment; gives the older ones, whose records the caller now stores."""
        assert not self.closed
        older: list[Place] = list(segments(self.folder))
        self._end_segment()
        self._file = self._new_segment()
        return older

    def flush(self) -> None:
        """Nothing to do: what was appended is on disk."""

    @property
    def closed(self) -> bool:
        """Whether nothing can be appended any more."""
        return self._closed

    def close(self) -> None:
        """Stop appending. Calling it twice is harmless."""
        self._closed = True
        self._end_segment()

    def _end_segment(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def _new_segment(self) -> BinaryIO:
        older = segments(self.folder)
        number = int(older[-1].stem) + 1 if older else 1
        path = self.folder / f"{number:06d}.jsonl"
        file = open(path, "xb", buffering=0)  # noqa: SIM115
        try:
            self._write(file, {"schema_version": SCHEMA_VERSION, "next": self.next_sequence})
            sync_folder(self.folder)
        except BaseException:
            file.close()
            with suppress(OSError):
                path.unlink()
            raise
        return file

    @staticmethod
    def _write(file: BinaryIO, record: JournalRecord) -> None:
        line = memoryview(encode(record))
        while line:  # what is written in part is refused with a reason the next time
            line = line[file.write(line) :]
        os.fsync(file.fileno())


def encode(record: JournalRecord) -> bytes:
    """A record as it stands in a segment."""
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def segments(folder: Place) -> list[Place]:
    """The segments of a log, oldest first."""
    return sorted(folder.glob("[0-9]*.jsonl"), key=lambda path: path.name)


def read_journal(folder: Place) -> Iterator[JournalRecord]:
    """Every complete record, in order, also while a driver appends or removes old segments.

    A segment that vanishes was stored elsewhere before it was removed: read the log first and the
    store afterwards, and nothing is missed. A segment's records end where the next one begins:
    what a driver wrote after another had taken its lease over does not count.

    Raises:
        UserError: a line that is not the last of its segment is damaged, or a newer version of
            this program wrote the log.
    """
    before: list[JournalRecord] = []
    for path in segments(folder):
        first, records = _read_segment(path)
        if first is None and not records:
            continue  # storage had no room for its first line, or it vanished
        yield from (record for record in before if first is None or record["n"] < first)
        before = records
    yield from before


def _read_segment(path: Place) -> tuple[int | None, list[JournalRecord]]:
    """The number of a segment's first record, if it has come to be known, and its records."""
    first, records = None, []
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return None, []
    # What follows the last newline was never acknowledged.
    for number, line in enumerate(lines[:-1], start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}:{number}: is damaged; restore it from a copy") from error
        if "n" in record:
            records.append(record)
            continue
        require_known_version(path, record["schema_version"])
        first = record["next"]
    return first, records


def require_known_version(path: Place, version: int) -> None:
    """
    Raises:
        UserError: a newer version of this program wrote the file.
    """
    if version > SCHEMA_VERSION:
        raise UserError(str(path), version, "is a newer schema_version; update trm-search")


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the folder's names (after a file was made, renamed or removed)."""
    if os.name == "nt":  # which opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
