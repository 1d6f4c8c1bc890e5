"""One writer at a time: an exclusive lock on a file, freed by the kernel when its holder dies."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
import warnings
import weakref
from pathlib import Path

from trm.errors import LockWarning, UserError
from trm.files.heartbeat import Heartbeat, HeldError, holder_of, newest_holding

_HELD_BY_ANOTHER = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK}
"""What the systems say where a lock is taken; anything else is that there are no locks here."""
_TRIES, _PAUSE = 4, 0.05
"""Who only looks whether a lock is held holds it for a moment."""


class FileLock:
    """An exclusive `flock`, held from construction until `release` or the end of the process.

    On Windows, where it has not been tried, it is a lock of `msvcrt`. A file system without locks
    gets a file that is renewed (`trm.files.heartbeat`), and one warning.

    Children do not keep it alive: the descriptor is closed on exec (Python's default) and, for
    children that never exec, right after fork.

    Raises:
        UserError: another process (or this one) holds the lock; the message names its pid.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._heartbeat: Heartbeat | None = None
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _taken(self._descriptor):
                self._heartbeat = Heartbeat(path)
                warnings.warn(
                    f"{path.parent}: its file system has no locks, so {path.name}.N is renewed; "
                    "from other machines a dead process is known as such after a minute",
                    LockWarning,
                    stacklevel=2,
                )
        except (_TakenError, HeldError) as error:
            os.close(self._descriptor)
            holder = str(error) or _holder(path)
            raise UserError(
                str(path.parent),
                None,
                f"is in use by {holder}; wait for it to end, or stop it first",
            ) from error
        except BaseException:
            os.close(self._descriptor)
            raise
        text = f"{os.getpid()} {socket.gethostname()}\n".encode()
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, text)
        os.ftruncate(self._descriptor, len(text))
        _HELD.add(self)

    @property
    def lost(self) -> bool:
        """Whether another process may hold it now; a lock of the kernel's cannot be lost."""
        return self._heartbeat is not None and self._heartbeat.lost

    def release(self) -> None:
        """Free the lock; the file stays. Calling it twice is harmless."""
        if self._descriptor >= 0:
            if self._heartbeat is not None:
                self._heartbeat.release()
            self._forget()

    def _forget(self) -> None:
        """Close this process's copy, which leaves the lock of a parent in force."""
        os.close(self._descriptor)
        self._descriptor, self._heartbeat = -1, None
        _HELD.discard(self)


class _TakenError(Exception):
    """The kernel has given the lock to another."""


def _taken(descriptor: int) -> bool:
    """Take the lock; False where there are none.

    Raises:
        _TakenError: another process has it.
    """
    for attempt in range(_TRIES):
        try:
            _lock(descriptor)
        except OSError as error:
            if error.errno not in _HELD_BY_ANOTHER:
                return False
            if attempt == _TRIES - 1:
                raise _TakenError from error
            time.sleep(_PAUSE)
        else:
            break
    return True


def lock_holder(path: Path) -> str:
    """Who holds a lock, in words; empty if nobody does. Nobody is kept from taking it."""
    newest = newest_holding(path)
    if newest is not None and (holder := holder_of(newest)):
        return holder
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return ""
    try:
        _look(descriptor)
    except OSError as error:
        return _holder(path) if error.errno in _HELD_BY_ANOTHER else ""
    finally:
        os.close(descriptor)
    return ""


_HELD: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _forget_after_fork() -> None:
    for lock in list(_HELD):
        lock._forget()


if hasattr(os, "register_at_fork"):  # where there is fork
    os.register_at_fork(after_in_child=_forget_after_fork)


if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30
    """Nobody may read a byte that is locked: it lies behind what a waiting process is told."""

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _look(descriptor: int) -> None:
        _lock(descriptor)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _look(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _holder(path: Path) -> str:
    try:
        pid, host = path.read_text().split()
    except (OSError, ValueError):
        return "another process"
    return f"process {pid}" + ("" if host == socket.gethostname() else f" on {host}")
