"""What a worker's process writes, kept for each attempt in the run folder.

Ray's own files of it are gone with its session. They are read here, so nothing of what a process
writes is redirected, and no writer ever waits for the run's storage.
"""

from __future__ import annotations

import os
import stat
import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from search.ledger.storage import Place
from search.logs.kept_text import KeptText

FOLDER = "logs"
_EVERY, _EVERY_AT_STORE = 2.0, 10.0
"""Seconds between two writings, on a disk and on an object store."""
_MOST = 1 << 20
"""Bytes of a stream that are looked at at a time: what is before the last ones is skipped."""
_RAYS = (":job_id:", ":actor_name:", ":task_name:")
"""Ray's own lines begin so."""


def output_file(folder: Place, trial: int, attempt: int) -> Place:
    """Where an attempt's output is kept."""
    return folder / FOLDER / str(trial) / f"{attempt}.txt"


def refer(file: Place, trial: int, attempt: int) -> None:
    """Say in an attempt's file that its process writes into another's: they are trained as one."""
    own = KeptText(file)
    # Paths within the run folder: it may be looked at from elsewhere.
    there = f"{FOLDER}/{trial}/{attempt}.txt"
    own.add(f"is trained as one model with trial {trial}: what the process writes is in {there}\n")
    with suppress(Exception):  # an attempt does not fail for want of its log
        own.flush()


class WorkerOutput:
    """Copies what this process writes into the file of its attempt; storage may fail meanwhile.

    Args:
        streams: descriptors whose files are copied; those that are no files are left alone.
    """

    def __init__(self, streams: tuple[int, ...] = ()) -> None:
        self._files = [file for stream in streams if (file := _reopened(stream)) is not None]
        self._kept: KeptText | None = None
        self._busy = threading.Lock()
        self._waits = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, file: Place) -> None:
        """From now on it is another attempt's."""
        with self._busy:
            self._end()
            self._kept = KeptText(file)
        if self._files and self._thread is None:
            self._thread = threading.Thread(
                target=self._copy_now_and_then, daemon=True, name="output"
            )
            self._thread.start()

    def note(self, text: str) -> None:
        """Add a text of our own, and write all.

        Raises:
            OSError: storage does not take it.
        """
        with self._busy:
            if self._kept is not None:
                self._copy(self._kept)
                self._kept.end_line()
                self._kept.add(text)
                self._kept.flush()

    def end(self) -> None:
        """The attempt is over."""
        with self._busy:
            self._end()

    def _end(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            with suppress(Exception):  # an attempt does not fail for want of its log
                self._copy(kept)
                kept.end_line()
                kept.flush()

    def _copy(self, kept: KeptText) -> None:
        for file in self._files:
            end = os.fstat(file.fileno()).st_size
            if end - file.tell() > _MOST:
                kept.end_line()
                kept.add(f"[... {end - file.tell() - _MOST} bytes are left out here ...]\n")
                file.seek(end - _MOST)
            text = file.read(_MOST).decode("utf-8", "replace")
            lines = text.splitlines(keepends=True)
            kept.add("".join(line for line in lines if not line.startswith(_RAYS)))

    def _copy_now_and_then(self) -> None:
        while True:
            kept = self._kept
            at_disk = kept is None or isinstance(kept.file, Path)
            self._waits.wait(_EVERY if at_disk else _EVERY_AT_STORE)
            with self._busy, suppress(Exception):  # storage may take it the next time
                if self._kept is not None:
                    self._copy(self._kept)
                    self._kept.flush()


def _reopened(stream: int) -> BinaryIO | None:
    """The file that a descriptor writes to, to be read from its beginning; None if it is none."""
    try:
        if not stat.S_ISREG(os.fstat(stream).st_mode):
            return None
        return open(_path_of(stream), "rb", buffering=0)
    except (OSError, ValueError):
        return None


def _path_of(stream: int) -> str:
    linux = f"/proc/self/fd/{stream}"
    if os.path.exists(linux):
        return linux
    import fcntl

    found: bytes = fcntl.fcntl(stream, fcntl.F_GETPATH, bytes(1024))  # type: ignore[attr-defined]
    return os.fsdecode(found.rstrip(b"\0"))
