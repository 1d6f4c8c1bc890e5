"""A driver that says in its run folder that it is at work, and hears there when it is to stop."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from trm.files.driver_note import (
    DRIVER_FILE,
    RENEW,
    STOP_FILE,
    DriverNote,
    RunFiles,
    State,
    asked_to_stop,
    now,
)
from trm.stopping import before_leaving, forget_before_leaving, interrupt_this, resume_line

LOOK = 1.0
"""Seconds between two looks for a request, on a disk."""


class Presence:
    """A driver's presence in a run folder, kept up by a thread of its own until `close`.

    What storage refuses is tried again; nobody waits for it.

    Args:
        files: of the run folder.
        free: whether nobody else has the run: until then nothing is written, so that a second
            driver does not speak for the first.
        look: seconds between two looks for a request.

    Attributes:
        token: unique to this driver.
        asked: whether it was asked to stop.
        gently: called when a stop is asked for, in place of an interrupt of the process, as by a
            signal. Outside of the main thread, which an interrupt would meet, who made it asks
            `asked` instead.
    """

    def __init__(
        self, files: RunFiles, free: Callable[[], bool] = lambda: True, look: float = LOOK
    ) -> None:
        self.token = uuid.uuid4().hex
        self.asked = False
        main = threading.current_thread() is threading.main_thread()
        self.gently: Callable[[], None] | None = None if main else lambda: None
        self._files, self._free, self._look = files, free, look
        self._note = DriverNote(
            self.token, socket.gethostname(), os.getpid(), "starting", now(), now()
        )
        self._told: dict[str, Any] = {}
        self._facts: list[Callable[[], dict[str, Any]]] = []
        self._announced = False
        self._written = 0.0
        self._busy, self._over = threading.Lock(), threading.Event()
        with suppress(Exception):  # what the storage lacks, the run itself will say
            self._announce()
        self._thread = threading.Thread(target=self._keep_up, daemon=True, name="presence")
        self._thread.start()
        before_leaving(self._leave)

    @property
    def began(self) -> str:
        """When it came, UTC, ISO 8601."""
        return self._note.began

    @property
    def who(self) -> str:
        """The driver in words, wherever that is read."""
        return f"driver {self._note.pid} on {self._note.host}"

    def tell(self, state: State | None = None, **facts: Any) -> None:
        """Say more of itself: a new state soon, and facts from the next renewal on."""
        with self._busy:
            self._told |= facts
            if state is not None and self._note.state != "stopping":
                self._note = replace(self._note, state=state)
                self._written = 0.0  # nobody should have to wait to hear that

    def tells(self, facts: Callable[[], dict[str, Any]]) -> None:
        """Ask for more to say at each renewal, from now on; in a thread of its own."""
        self._facts.append(facts)
        self._written = 0.0

    def close(self, ending: str = "done", reason: str = "") -> None:
        """Say the last word. Calling it twice is harmless."""
        if self._over.is_set():
            return
        self._over.set()
        forget_before_leaving(self._leave)
        self._thread.join(2 * RENEW)
        with suppress(Exception):
            self._end(ending, reason)

    def _leave(self) -> None:
        self._over.set()
        self._end("stopped", "")

    def _end(self, ending: str, reason: str) -> None:
        if not self._announced:
            return
        line = "" if ending == "done" else resume_line()
        self._note = replace(
            self._note, state="ended", ending=ending, reason=reason[:300], line=line
        )
        self._write()
        if asked_to_stop(self._files) == self.token:
            self._files.remove(STOP_FILE)

    def _announce(self) -> None:
        if self._free():
            if asked_to_stop(self._files) is not None:
                self._files.remove(STOP_FILE)  # it is to a driver that has gone
            self._write()
            self._announced = True

    def _write(self) -> None:
        self._written = time.monotonic()
        for facts in self._facts:
            with suppress(Exception):  # what is said of the work must not stop it
                self._told |= facts()
        with self._busy:
            ended = self._note.state == "ended"
            line = self._note.line if ended else resume_line()
            self._note = replace(self._note, renewed=now(), line=line, told=dict(self._told))
            text = self._note.text()
        self._files.write(DRIVER_FILE, text)

    def _keep_up(self) -> None:
        while not self._over.wait(self._look):
            with suppress(Exception):  # the storage may take it the next time
                self._once()

    def _once(self) -> None:
        if not self._announced:
            self._announce()
            return
        if not self.asked and asked_to_stop(self._files) == self.token:
            self.asked = True
            with self._busy:
                self._note = replace(self._note, state="stopping")
            (self.gently or interrupt_this)()
            if not self._over.is_set():
                self._write()
        elif not self._written or time.monotonic() - self._written >= RENEW:
            self._write()


@contextmanager
def present(
    files: RunFiles, free: Callable[[], bool] = lambda: True, look: float = LOOK
) -> Iterator[Presence]:
    """A driver is at work in a run folder for the time being; a request to stop interrupts it."""
    presence = Presence(files, free, look)
    ending, reason = "done", ""
    try:
        yield presence
    except KeyboardInterrupt:
        ending = "stopped"
        raise
    except BaseException as error:
        ending, reason = "failed", " ".join(str(error).split()) or type(error).__name__
        raise
    finally:
        presence.close(ending, reason)
