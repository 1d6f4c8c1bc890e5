"""What a run's driver says of itself in the run folder, and how it is asked to stop.

`driver.json` is the driver's, written anew every few seconds while it is at work. `stop.json` is a
request to one driver, by the token in its note: what is left of a request to a driver that died
stops nobody.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from trm.files.replace import replacing

DRIVER_FILE, STOP_FILE = "driver.json", "stop.json"
NOTES = frozenset({DRIVER_FILE, STOP_FILE})
"""Files of a run folder in which no run has to have begun."""
RENEW = 10.0
"""Seconds between two writings of a note."""
STALE = 45.0
"""Seconds after which a note that is not renewed is a dead driver's; clocks may differ."""

State = Literal["starting", "running", "stopping", "ended"]


class RunFiles(Protocol):
    """The small files right in a run folder, wherever that is."""

    def read(self, name: str) -> str | None:
        """A file's text; None if it is not there."""

    def write(self, name: str, text: str) -> None:
        """Make or replace a file."""

    def remove(self, name: str) -> None:
        """Remove a file, which need not be there."""


@dataclass(frozen=True)
class LocalFiles:
    """Those of a folder on a disk of this machine, or one that machines share."""

    folder: Path

    def read(self, name: str) -> str | None:
        """A file's text; None if it is not there."""
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, text: str) -> None:
        """Make or replace a file."""
        path = self.folder / name
        # Of two drivers that start together both write here for a moment.
        with replacing(path, path.with_name(f".{name}.{os.getpid()}.tmp")) as file:
            file.write(text.encode())

    def remove(self, name: str) -> None:
        """Remove a file, which need not be there."""
        (self.folder / name).unlink(missing_ok=True)


@dataclass(frozen=True)
class DriverNote:
    """What a driver says of itself.

    Attributes:
        token: unique to one driver.
        host: its machine's name.
        pid: its process there.
        state: what it is at; `ended` is the last word.
        began: when it came, UTC, ISO 8601.
        renewed: when this was written.
        line: how to go on with its work once it has ended, as in `resume with: trm sweep ...`.
        ending: of a driver that ended `done`, `stopped` or `failed`, else empty.
        reason: one line of what it failed by.
        told: what else it says.
    """

    token: str
    host: str
    pid: int
    state: State
    began: str
    renewed: str
    line: str = ""
    ending: str = ""
    reason: str = ""
    told: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"process {self.pid}{'' if self.is_here else f' on {self.host}'}"

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, on this machine."""
        return self.host == socket.gethostname()

    @property
    def age(self) -> float:
        """Seconds since it was written, by this machine's clock."""
        return seconds_since(self.renewed)

    @property
    def lives(self) -> bool:
        """Whether the driver seems to be at work: it has not ended, and was heard of lately."""
        if self.state == "ended" or self.age > STALE:
            return False
        return not self.is_here or _runs(self.pid)

    def text(self) -> str:
        """As it is stored."""
        return json.dumps({"schema_version": 1, **asdict(self)}, indent=1) + "\n"


def seconds_since(time: str) -> float:
    """Seconds from a time (ISO 8601) to now, 0 from one to come.

    >>> seconds_since(now()) < 5
    True
    """
    return max((datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds(), 0.0)


def now() -> str:
    """The time, UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_note(files: RunFiles) -> DriverNote | None:
    """What the newest driver says of itself; None if there was none, or it cannot be read."""
    try:
        tree = json.loads(files.read(DRIVER_FILE) or "")
        known = {name: tree[name] for name in DriverNote.__dataclass_fields__ if name in tree}
        note = DriverNote(**known)
        seconds_since(note.began), seconds_since(note.renewed)
        return note if isinstance(note.told, dict) and isinstance(note.pid, int) else None
    except (ValueError, TypeError, RecursionError):
        return None


def ask_to_stop(files: RunFiles, token: str) -> None:
    """Ask the driver of this token to stop."""
    asked: Mapping[str, Any] = {
        "schema_version": 1, "driver": token, "at": now(),
        "by": f"process {os.getpid()} on {socket.gethostname()}",
    }  # fmt: skip
    files.write(STOP_FILE, json.dumps(asked) + "\n")


def asked_to_stop(files: RunFiles) -> str | None:
    """The token of the driver that is asked to stop; None if none is."""
    text = files.read(STOP_FILE)
    if text is None:
        return None
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        return str(json.loads(text)["driver"])
    return None


def _runs(pid: int) -> bool:
    if os.name == "nt":  # where signal 0 ends a process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
