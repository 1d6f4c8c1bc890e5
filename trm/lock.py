"""One writer at a time: an exclusive lock on a file, freed by the kernel when its holder dies."""

from __future__ import annotations

import os
import socket
import sys
import weakref
from pathlib import Path

from trm.errors import UserError


class FileLock:
    """An exclusive `flock`, held from construction until `release` or the end of the process.

    On Windows, where it has not been tried, it is a lock of `msvcrt`.

    Children do not keep it alive: the descriptor is closed on exec (Python's default) and, for
    children that never exec, right after fork.

    Raises:
        UserError: another process (or this one) holds the lock; the message names its pid.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(self._descriptor)
        except OSError as error:
            os.close(self._descriptor)
            raise UserError(
                str(path.parent),
                None,
                f"is in use by {_holder(path)}; wait for it to end, or stop it first",
            ) from error
        holder = f"{os.getpid()} {socket.gethostname()}\n".encode()
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, holder)
        os.ftruncate(self._descriptor, len(holder))
        _HELD.add(self)

    def release(self) -> None:
        """Free the lock; the file stays. Calling it twice is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            _HELD.discard(self)


_HELD: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _forget_after_fork() -> None:
    # Closing a forked copy of the descriptor leaves the parent's lock in force.
    for lock in list(_HELD):
        lock.release()


if hasattr(os, "register_at_fork"):  # where there is fork
    os.register_at_fork(after_in_child=_forget_after_fork)


if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30
    """Nobody may read a byte that is locked: it lies behind what a waiting process is told."""

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(path: Path) -> str:
    try:
        pid, host = path.read_text().split()
    except (OSError, ValueError):
        return "another process"
    return f"process {pid}" + ("" if host == socket.gethostname() else f" on {host}")
