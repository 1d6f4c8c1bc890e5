"""A lock where the file system has none: a file that its holder renews, and others may outlast.

Each holding has a number, one above the last, and a file of that name, which can be made only once:
of two that start together one has it. The newest counts. It says until when it is not to be
disturbed; times are compared across machines, whose clocks may differ by `DURATION - RENEW` seconds
at most. Of a process on this machine it is known at once that it is dead.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

DURATION = 60.0
"""Seconds from a renewal until others may take over."""
RENEW = 10.0
"""Seconds between renewals."""


class HeldError(Exception):
    """Another process holds the lock; the message says which."""


class Heartbeat:
    """A holding, from construction until `release`, renewed by a thread of its own.

    Args:
        path: the lock's; its files have a number behind it.

    Raises:
        HeldError: another process holds it.
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        newest = newest_holding(path)
        if newest is not None and (holder := holder_of(newest)):
            raise HeldError(holder)
        number = 1 if newest is None else _number(newest) + 1
        self.file = path.with_name(f"{path.name}.{number}")
        try:
            descriptor = os.open(self.file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError as error:
            raise HeldError("another process") from error
        os.close(descriptor)
        self._expires = 0.0
        self._renew()
        if newest_holding(path) != self.file:
            raise HeldError("another process")
        if newest is not None:
            with suppress(OSError):
                newest.unlink()
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_released, daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether another process may have taken over; asks the disk only if a renewal is late."""
        if time.time() < self._expires - RENEW:
            return False
        return newest_holding(self.path) != self.file

    def release(self) -> None:
        """Free it. Its file stays, so that no number is used twice."""
        self._released.set()
        self._thread.join()
        if not self.lost:
            with suppress(OSError):
                self.file.write_text("free\n")

    def _renew(self) -> None:
        expires = time.time() + DURATION
        self.file.write_text(f"{os.getpid()} {socket.gethostname()} {expires:.0f}\n")
        self._expires = expires

    def _renew_until_released(self) -> None:
        while not self._released.wait(RENEW):
            if newest_holding(self.path) != self.file:
                return
            with suppress(OSError):  # the next time, perhaps
                self._renew()


def newest_holding(path: Path) -> Path | None:
    """The file of the newest holding of a lock; None if there was none."""
    found = (one for one in path.parent.glob(f"{path.name}.*") if one.suffix[1:].isdigit())
    return max(found, key=_number, default=None)


def holder_of(file: Path) -> str:
    """Who has a holding, in words; empty if it was released, has expired or its process is dead."""
    try:
        words = file.read_text().split()
    except FileNotFoundError:
        return ""
    if words == ["free"]:
        return ""
    try:
        pid, host, expires = int(words[0]), words[1], float(words[2])
    except (IndexError, ValueError):
        # It is being written, unless that was long ago.
        return "another process" if time.time() - file.stat().st_mtime < DURATION else ""
    here = host == socket.gethostname()
    if expires < time.time() or (here and not _lives(pid)):
        return ""
    return f"process {pid}" + ("" if here else f" on {host}")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _number(file: Path) -> int:
    return int(file.suffix[1:])
