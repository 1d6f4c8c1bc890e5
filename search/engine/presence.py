"""A driver's presence in a run folder of any kind, and who has the run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from search.ledger.lease import read_holder
from search.ledger.storage import LEASE_FILE, Place, Remote
from trm.errors import UserError
from trm.files.driver_note import LocalFiles, RunFiles
from trm.files.lock import lock_holder
from trm.files.presence import LOOK, Presence, present
from trm.files.run_folder import LOCK

LOOK_AT_STORE = 5.0
"""Seconds between two looks for a request, on an object store: each is a call that costs."""


@dataclass(frozen=True)
class RemoteFiles:
    """The small files right in a run's prefix on an object store."""

    where: Remote

    def read(self, name: str) -> str | None:
        """An object's text; None if it is not there."""
        try:
            return (self.where / name).read_text()
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str) -> None:
        """Make or replace an object."""
        (self.where / name).write_bytes(text.encode())

    def remove(self, name: str) -> None:
        """Remove an object, which need not be there."""
        (self.where / name).unlink(missing_ok=True)


def files_in(folder: Place) -> RunFiles:
    """The small files right in a run folder."""
    return LocalFiles(folder) if isinstance(folder, Path) else RemoteFiles(folder)


def holder_of_run(folder: Place) -> str:
    """Who has a run, as `process 17 on elsewhere`; empty if nobody has. Nobody is disturbed."""
    if isinstance(folder, Path):
        return lock_holder(folder / LOCK)
    try:
        found = read_holder(folder / LEASE_FILE)
    except UserError:
        return ""
    return str(found) if found is not None and found.expires > time.time() else ""


@contextmanager
def present_in(folder: Place) -> Iterator[Presence]:
    """This process is the driver of a run folder for the time being, unless another one is."""
    here = f"process {os.getpid()}"
    look = LOOK if isinstance(folder, Path) else LOOK_AT_STORE
    with present(files_in(folder), lambda: holder_of_run(folder) in ("", here), look) as presence:
        yield presence
