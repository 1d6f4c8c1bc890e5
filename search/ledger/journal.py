"""An append-only log of JSON lines in numbered segments: a record that was appended is on disk.

`search.ledger.object_journal` writes the same segments to an object store, and `search.ledger.log`
reads both.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from search.ledger.seal import seal_line
from search.ledger.storage import Place
from trm.errors import UserError
from trm.files.replace import sync

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
        ledger: whose log it is.
    """

    def __init__(self, folder: Path, next_sequence: int, ledger: str | None = None) -> None:
        self.folder = folder
        self.ledger = ledger
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
            self._write(file, head(self.next_sequence, self.ledger))
            sync(self.folder)
        except BaseException:
            file.close()
            with suppress(OSError):
                path.unlink()
            raise
        return file

    @staticmethod
    def _write(file: BinaryIO, record: JournalRecord) -> None:
        line = memoryview(seal_line(record))
        while line:  # what is written in part is refused with a reason the next time
            line = line[file.write(line) :]
        os.fsync(file.fileno())


def head(next_sequence: int, ledger: str | None, *, base: bool = False) -> JournalRecord:
    """The first line of a segment whose first record has a number.

    Args:
        base: the segment tells all that was before it.
    """
    own: JournalRecord = {} if ledger is None else {"ledger": ledger}
    if base:
        own["base"] = True
    return {"schema_version": SCHEMA_VERSION, "next": next_sequence, **own}


def segments(folder: Place) -> list[Place]:
    """The segments of a log, oldest first; what else lies there is not looked at."""
    found = folder.glob("[0-9]*.jsonl")
    return sorted((path for path in found if path.stem.isdigit()), key=lambda path: int(path.stem))


def require_known_version(path: Place, version: int) -> None:
    """
    Raises:
        UserError: a newer version of this program wrote the file.
    """
    if version > SCHEMA_VERSION:
        raise UserError(str(path), version, "is a newer schema_version; update trm-search")
