"""Storage that is full, read-only or gone: who needs it waits for it, and a person is told once."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from search.ledger.storage import Place, Remote
from trm.blame import StorageError, blame

Result = TypeVar("Result")

ASK_SECONDS = 2.0
"""Between two looks at whether storage takes something again."""
_WRITTEN = 64 << 20
"""Bytes that are written for a look where a file system cannot say what it has room for."""


class Room:
    """What a run folder's storage takes, and the wait for it.

    Nobody waits until `seconds` and `say` are set: an error is raised at once.

    Attributes:
        seconds: how long storage may refuse before who waits for it gives up.
        say: is told a line when the wait begins and when it ends.
        stopped: asked while waiting; once true, the wait ends with KeyboardInterrupt.
    """

    def __init__(self, folder: Place) -> None:
        self.folder = folder
        self.seconds = 0.0
        self.say: Callable[[str], None] = lambda line: None
        self.stopped: Callable[[], bool] = lambda: False
        self._problem = ""
        self._needed: dict[str, int] = {}
        self._since: float | None = None
        self._asked = -math.inf

    @property
    def waiting(self) -> bool:
        """Whether storage refused, and has not taken anything since, as far as is known."""
        return self._since is not None

    def refuses(self, needed: int = 0) -> str:
        """What is wrong with writing so many bytes now; empty if they fit."""
        probe = self.folder / f".room-{os.getpid()}"
        try:
            if isinstance(probe, Remote):
                probe.write_bytes(b"0")
                probe.unlink(missing_ok=True)
                return ""
            try:
                _fill(probe, max(needed, 1 << 12))
            finally:
                with suppress(OSError):
                    probe.unlink(missing_ok=True)
        except OSError as error:
            problem = error.strerror or " ".join(str(error).split())[:200]
            with suppress(OSError, TypeError):
                problem += f" ({_size(shutil.disk_usage(str(self.folder)).free)} free)"
            return problem
        return ""

    def hold(self, who: str, problem: str, needed: int = 0) -> None:
        """Begin to wait, or wait for more: storage refused `needed` bytes."""
        self._needed[who] = needed
        if self._since is None:
            self._since = self._asked = time.monotonic()
            self._problem = problem
            size = f"; {_size(self.wanted)} are needed" if self.wanted else ""
            self.say(
                f"{self.folder}: {problem}{size}: free space there or make it writable; the sweep "
                f"waits and goes on by itself, for {_minutes(self.seconds)} at most"
            )

    @property
    def wanted(self) -> int:
        """Bytes that all who wait need together."""
        return sum(self._needed.values())

    def holds(self) -> bool:
        """Whether storage still refuses; looks at it every two seconds.

        Raises:
            StorageError: it has refused for longer than anybody waits.
        """
        if self._since is None:
            return False
        now = time.monotonic()
        if now - self._asked < ASK_SECONDS:
            return True
        self._asked = now
        problem = self.refuses(self.wanted)
        if problem:
            self._lose_patience(problem)
            return True
        self._release()
        return False

    def given_up(self, problem: str) -> StorageError:
        """The error that ends a sweep."""
        needed = f"; {_size(self.wanted)} are needed" if self.wanted else ""
        return StorageError(
            str(self.folder),
            f"{problem}{needed}, for more than {_minutes(self.seconds)}: nothing is lost: free "
            "space there or make it writable, and resume",
            self.wanted,
        )

    def until(self, write: Callable[[], Result], needed: int = 1 << 16) -> Result:
        """Write, and again once storage takes it.

        Raises:
            StorageError: it has refused for longer than anybody waits.
            KeyboardInterrupt: the wait was ended.
            Exception: what has nothing to do with storage, and everything where nobody waits.
        """
        try:
            return write()
        except Exception as error:
            self.hold("driver", self._problem_of(error), needed)
        while True:
            self._pause()
            problem = self.refuses(self.wanted)
            if not problem:
                try:
                    result = write()
                except Exception as error:  # what is written is more, or elsewhere
                    problem = self._problem_of(error)
                else:
                    self._release()
                    return result
            self._lose_patience(problem)

    def _problem_of(self, error: Exception) -> str:
        if not (self.seconds and self.of_storage(error)):
            raise error
        return getattr(error, "strerror", None) or " ".join(str(error).split())[:200]

    def of_storage(self, error: Exception) -> bool:
        """Whether an error is one of storage; an object store's is one of the network."""
        culprits = ("storage", "machine") if isinstance(self.folder, Remote) else ("storage",)
        return blame(error).culprit in culprits

    def _release(self) -> None:
        self.say(f"{self.folder}: takes what is written again: the sweep goes on")
        self._since = None
        self._needed.clear()

    def _lose_patience(self, problem: str) -> None:
        if self._since is not None and time.monotonic() - self._since >= self.seconds:
            raise self.given_up(problem)

    def _pause(self) -> None:
        end = time.monotonic() + ASK_SECONDS
        while (left := end - time.monotonic()) > 0:
            if self.stopped():
                raise KeyboardInterrupt
            time.sleep(min(left, 0.1))


def _fill(path: Path, size: int) -> None:
    """Make a file of this size whose bytes the disk has."""
    with open(path, "wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except (AttributeError, OSError) as error:
            if blame(error).culprit == "storage":
                raise
            for _ in range(0, min(size, _WRITTEN), 1 << 20):
                file.write(bytes(1 << 20))
        file.flush()
        os.fsync(file.fileno())


def _size(count: int) -> str:
    """
    >>> _size(3 << 20), _size(5 << 29), _size(2000)
    ('3 MiB', '2.5 GiB', '1 MiB')
    """
    mib = max(math.ceil(count / 2**20), 1)
    return f"{mib} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
