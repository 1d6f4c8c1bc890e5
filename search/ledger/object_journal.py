"""The log of a run on an object store: what was appended is stored a few seconds later.

Objects cannot be appended to, so records gather in memory and the newest segment is written anew,
whole, with those that have come. Once it is large the next one is begun.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from search.ledger.journal import JournalRecord, head, segments
from search.ledger.lease import Lease
from search.ledger.seal import seal_line
from search.ledger.storage import Place, Remote
from trm.blame import StorageError

FLUSH_EVERY = 3.0
"""Seconds between writes, well below the 5 in which a report must be stored."""
GIVE_UP_AFTER = 60.0
"""Seconds for which a store may fail before the driver stops."""
SEGMENT_BYTES = 1 << 18
"""A segment of at least this size is not written again."""


class ObjectJournal:
    """Appends records to new segments of a folder, as `search.ledger.journal.Journal` does.

    Only one thread appends; a thread of the journal's own writes.

    Args:
        folder: where the segments are.
        next_sequence: the number of the next record, larger than any before it.
        lease: must be held for every write.
        ledger: whose log it is.

    Attributes:
        give_up_after: seconds for which the store may fail before the driver stops.

    Raises:
        OSError: the store cannot be written.
        LeaseLostError: the lease is another driver's.
    """

    def __init__(
        self, folder: Remote, next_sequence: int, lease: Lease, ledger: str | None = None
    ) -> None:
        self.folder = folder
        self.ledger = ledger
        self.next_sequence = next_sequence
        self._lease = lease
        older = segments(folder)
        self._segment = int(older[-1].stem) + 1 if older else 1
        self._lines = [self._head()]
        self._stored = next_sequence - 1
        self._later: deque[tuple[int, Callable[[], None]]] = deque()
        self._appending = threading.Lock()
        self._flushing = threading.Lock()
        self._failing_since: float | None = None
        self.give_up_after = GIVE_UP_AFTER
        self._error: Exception | None = None
        self._closed = threading.Event()
        lease.require()
        # From here on no older driver's records count.
        self._write(b"".join(self._lines))
        self._thread = threading.Thread(target=self._flush_until_closed, daemon=True)
        self._thread.start()

    def append(self, record: JournalRecord) -> int:
        """Take in one record, to be stored within seconds; gives its sequence number.

        Raises:
            OSError: the store has not taken anything for a minute.
            LeaseLostError: another driver has the run now.
        """
        self.check()
        if self.closed:
            raise OSError(f"{self.folder}: the log was closed by an earlier error")
        with self._appending:
            sequence = self.next_sequence
            self._lines.append(seal_line({"n": sequence, **record}))
            self.next_sequence += 1
        return sequence

    def then(self, action: Callable[[], None]) -> None:
        """Do something once all that was appended so far is stored, and never before."""
        with self._appending:
            self._later.append((self.next_sequence - 1, action))

    def flush(self) -> None:
        """Store what was appended.

        Raises:
            OSError: the store does not take it; it may be tried again.
            LeaseLostError: another driver has the run now; nothing was written.
        """
        with self._flushing:
            with self._appending:
                last, data = self.next_sequence - 1, b"".join(self._lines)
            if last > self._stored:
                self._lease.require()
                self._write(data)
                self._stored = last
                if len(data) >= SEGMENT_BYTES:
                    self._begin_segment(last)
            while self._later and self._later[0][0] <= self._stored:
                with suppress(OSError):  # what was to be removed is removed with its trial
                    self._later.popleft()[1]()

    def roll(self) -> list[Place]:
        """Start a new segment; gives the older ones, whose records the caller now stores."""
        assert not self.closed
        self.flush()
        with self._flushing:
            self._lease.require()
            self._begin_segment(self._stored)
            self._write(b"".join(self._lines))
            return [path for path in segments(self.folder) if int(path.stem) < self._segment]

    def check(self) -> None:
        """
        Raises:
            OSError: the store has not taken anything for a minute.
            LeaseLostError: another driver has the run now.
        """
        self._lease.check()
        if self._error is not None:
            raise self._error

    @property
    def closed(self) -> bool:
        """Whether nothing can be appended any more."""
        return self._closed.is_set()

    def close(self) -> None:
        """Stop; what was not flushed is lost. Calling it twice is harmless."""
        if not self.closed:
            self._closed.set()
            self._thread.join()

    def _head(self) -> bytes:
        return seal_line(head(self.next_sequence, self.ledger))

    def _begin_segment(self, stored: int) -> None:
        """Go on in a new segment with what is not stored yet."""
        with self._appending:
            waiting = self.next_sequence - 1 - stored
            first = seal_line(head(stored + 1, self.ledger))
            self._lines = [first, *self._lines[len(self._lines) - waiting :]]
        self._segment += 1

    def _write(self, data: bytes) -> None:
        (self.folder / f"{self._segment:06d}.jsonl").write_bytes(data)

    def _flush_until_closed(self) -> None:
        while not self._closed.wait(FLUSH_EVERY):
            try:
                self.flush()
                self._failing_since = None
            except OSError as error:
                self._failing_since = self._failing_since or time.monotonic()
                if time.monotonic() - self._failing_since >= self.give_up_after:
                    self._error = StorageError(
                        str(self.folder.parent),
                        f"{' '.join(str(error).split())[:300]}, for more than "
                        f"{self.give_up_after:.0f} s: all that was stored is kept: look at the "
                        "store and the network, and resume",
                    )
                    return
            except Exception as error:
                self._error = error
                return
