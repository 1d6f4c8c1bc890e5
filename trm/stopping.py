"""How a command stops: at a signal, within seconds, with the line that goes on with its work.

What stores results survives the death of its process at any moment, so leaving is always safe; an
orderly end only keeps more of the work.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

INTERRUPTED = 130
"""The exit code of a command that a signal has stopped."""
STOP_SECONDS = 8.0
"""From the first signal until the process leaves, whatever it is doing: who asks waits ten."""
LAST_SECONDS = 1.0
"""How long a process that leaves takes, at most, for what it was given to do before."""
SAME_SECONDS = 1.0
"""A further signal within this time is the first one again: `timeout` sends each of them twice."""


class _Command:
    """What this process's command says when it is interrupted, and whether it has been."""

    def __init__(self) -> None:
        self.line = self.resume = ""
        self.told = False
        self.heard: float | None = None
        self.lock = threading.Lock()


_command = _Command()


def begin_command() -> None:
    """Forget the command before, of a process that runs several."""
    global _command
    _command = _Command()


def at_an_interrupt(line: str, where: str = "") -> None:
    """Set what an interrupted command says to its user: the command that goes on with its work.

    Args:
        where: how far it has come, as in `at step 7`.
    """
    _command.resume = line
    _command.line = f"{where and f' {where}'}; {line}"


def tell_of_interrupt() -> None:
    """Print, once, that the command was interrupted and how to go on."""
    # A terminal that takes nothing more may hold up the one who prints, but not the other.
    if _command.lock.acquire(timeout=SAME_SECONDS):
        try:
            if not _command.told:
                _command.told = True
                print(f"trm: interrupted{_command.line}", file=sys.stderr, flush=True)
        except OSError:
            return  # the terminal has gone
        finally:
            _command.lock.release()


def resume_line() -> str:
    """What an interrupted command of this process would say of how to go on; empty if nothing."""
    return _command.resume


def interrupt_this() -> None:
    """Have this process stop as at a signal; from any thread."""
    # Where nobody handles SIGTERM (a notebook), it would end the process where it stands.
    handled = callable(signal.getsignal(signal.SIGTERM))
    number = signal.SIGTERM if handled else signal.SIGINT
    if os.name == "nt":
        signal.raise_signal(number)
    else:
        os.kill(os.getpid(), number)


def stopping() -> bool:
    """Whether a signal has asked this process's command to stop."""
    return _command.heard is not None


_last_acts: list[Callable[[], None]] = []


def before_leaving(act: Callable[[], None]) -> None:
    """Have something small done, in a thread of its own, when this process leaves where it stands.

    Args:
        act: what it raises is lost; the process does not wait for it beyond `LAST_SECONDS`.
    """
    _last_acts.append(act)


def forget_before_leaving(act: Callable[[], None]) -> None:
    """Take back what `before_leaving` was given."""
    _last_acts.remove(act)


def _do_last() -> None:
    for act in reversed(list(_last_acts)):
        with suppress(Exception):
            act()


def leave() -> NoReturn:
    """End this process where it stands: nothing that waits at its exit holds it up."""
    if _last_acts:
        acting = threading.Thread(target=_do_last, daemon=True)
        with suppress(RuntimeError):  # at the end of an interpreter there are no new threads
            acting.start()
            acting.join(LAST_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream.isatty():
                stream.write("\x1b[?25h")  # a display that was left may have hidden the cursor
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(INTERRUPTED)


def stop_signals() -> tuple[signal.Signals, ...]:
    """The signals that ask a process to stop; not a hangup that it was told to outlive (`nohup`).

    >>> signal.SIGTERM in stop_signals()
    True
    """
    found = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        found.append(hangup)
    return tuple(found)


@contextmanager
def instead_of_raising(act: Callable[[], None]) -> Iterator[None]:
    """Let the first signal call `act`, which asks work to end; a later Ctrl-C is obeyed at once.

    Outside of the main thread signals are left alone: Python lets no other set handlers.
    """
    heard: float | None = None

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        now = time.monotonic()
        if heard is None:
            heard = now
            _command.heard = _command.heard or now
            act()
        elif number == signal.SIGINT and now - heard > SAME_SECONDS:
            raise KeyboardInterrupt

    with _handled_by(hear):
        yield


@contextmanager
def ends_soon() -> Iterator[None]:
    """Around all of a process's work: a signal raises KeyboardInterrupt, and the process ends soon.

    If it has not ended `STOP_SECONDS` after the first signal, or at a second Ctrl-C, it leaves
    where it stands, after the same line and with the same code.
    """

    def hear(number: int, frame: FrameType | None) -> None:
        if _command.heard is None:
            _command.heard = time.monotonic()
            raise KeyboardInterrupt

    report = sys.unraisablehook

    def lost(found: sys.UnraisableHookArgs) -> None:
        # Python drops what is raised in a finaliser or in a callback of its import locks.
        if stopping() and issubclass(found.exc_type, KeyboardInterrupt):
            tell_of_interrupt()
            leave()
        report(found)

    sys.unraisablehook = lost
    with _handled_by(hear):
        reading, writing = socket.socketpair()
        writing.setblocking(False)
        # A handler waits until the main thread is back in Python; this tells of a signal at once.
        signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        # In a forked child it would tell of the child's signals as if they were ours.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_forget_wakeup)
        numbers = frozenset(map(int, stop_signals()))
        listening = threading.Thread(target=_listen, args=(reading, numbers), daemon=True)
        listening.start()
        try:
            yield
        finally:
            sys.unraisablehook = report
            signal.set_wakeup_fd(-1)
            writing.detach()  # stays open: the listener ends with the process


def _listen(pipe: socket.socket, stops: frozenset[int]) -> None:
    """End the process when its time is over. In a thread of its own."""
    first: float | None = None
    while True:
        if first is not None:
            pipe.settimeout(max(first + STOP_SECONDS - time.monotonic(), 0.001))
        try:
            heard, now = stops.intersection(pipe.recv(64)), time.monotonic()
        except TimeoutError:
            break
        if first is None and heard:
            first = now
        elif first is not None and signal.SIGINT in heard and now - first > SAME_SECONDS:
            break
    tell_of_interrupt()
    leave()


def _forget_wakeup() -> None:
    if threading.current_thread() is threading.main_thread():
        signal.set_wakeup_fd(-1)


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Any] = {}
    for number in stop_signals():
        before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            # None stands for a handler that was not set from Python, and cannot be set again.
            signal.signal(number, signal.SIG_DFL if old is None else old)
