"""Curves written to a live log by a thread of its own, so that a slow log never holds up a run.

The ledger is the truth and a live log a view of it, made whole like this: a run that has been
written to its end is named in the log's `complete.txt`; every other one is written anew, from its
first row, when it is begun again. So a log holds each row once, whatever was killed when; rows
that a killed process did not write come with the next resume.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.config.sinks import LoggedRun, RunEnd, Sink
from search.logs.console import note, warn
from trm.report import COLUMNS, ReportRow

COMPLETE_FILE = "complete.txt"
"""In a log's folder: the keys of the runs that are written to their end, one a line."""
WAITING = 10_000
"""Entries that may wait for a log; a run for which there is no room is written at the end."""
_PATIENCE = 0.2


class LogWriter:
    """Hands runs to a sink. Its methods return at once, except where they are asked to wait.

    A sink that raises is closed for good, with one warning; what it is given then is forgotten.

    Attributes:
        complete: keys of the runs that an earlier process has written to their end.
        behind: begun runs, an entry of which found no room: they have to be begun again.
    """

    def __init__(self, sink: Sink, waiting: int = WAITING) -> None:
        self._sink = sink
        self._queue: queue.Queue[_Entry | None] = queue.Queue(waiting)
        self._open: dict[str, LoggedRun] = {}
        self._given_up = threading.Event()
        self.complete = read_complete(sink.folder)
        self.behind: dict[str, LoggedRun] = {}
        self._thread = threading.Thread(target=self._write, name=f"log {sink.name}", daemon=True)
        self._thread.start()

    def is_open(self, key: str) -> bool:
        """Whether a run has been begun and has not ended."""
        return key in self._open

    def begin(self, run: LoggedRun, rows: Iterable[ReportRow] = (), *, wait: bool = False) -> None:
        """Open a run with the rows that it has so far."""
        self._open[run.key] = run
        self.behind.pop(run.key, None)
        self._put(_Entry(run.key, run=run, rows=tuple(map(_columns, rows))), wait)

    def add(self, key: str, row: ReportRow, *, wait: bool = False) -> None:
        """A new row of an open run."""
        self._put(_Entry(key, rows=(_columns(row),)), wait)

    def end(self, key: str, ending: RunEnd | None, *, wait: bool = False) -> None:
        """Close an open run; with None it will be begun again."""
        self._put(_Entry(key, closes=True, ending=ending), wait)
        del self._open[key]

    def close(self, seconds: float | None = None) -> None:
        """Write what waits, for at most so long; what is left comes with the next resume."""
        if self._queue.qsize() > 1:
            note(f"{self._sink.name}: writing what waits")
        end = math.inf if seconds is None else time.monotonic() + seconds
        told = False
        while self._thread.is_alive() and time.monotonic() < end:
            told = told or self._offer(None, _PATIENCE)
            self._thread.join(min(_PATIENCE, max(end - time.monotonic(), 0.0)))
        if self._thread.is_alive():
            self._given_up.set()
            warn(f"{self._sink.name} was left behind; --resume writes the rest")

    def _put(self, entry: _Entry, wait: bool) -> None:
        if entry.key in self.behind:
            return
        while self._thread.is_alive() and not self._offer(entry, _PATIENCE if wait else 0.0):
            if not wait:
                self.behind[entry.key] = self._open[entry.key]
                return

    def _offer(self, entry: _Entry | None, seconds: float) -> bool:
        try:
            self._queue.put(entry, timeout=seconds)
        except queue.Full:
            return False
        return True

    def _write(self) -> None:
        try:
            while (entry := self._queue.get()) is not None and not self._given_up.is_set():
                self._write_entry(entry)
        except Exception as error:  # a view of the run must not stop the run
            words = " ".join(f"{type(error).__name__}: {error}".split())
            warn(f"{self._sink.name} is off after an error ({words[:300]}); the run goes on")
        finally:
            with suppress(Exception):
                self._sink.close()

    def _write_entry(self, entry: _Entry) -> None:
        if entry.run is not None:
            self._sink.begin(entry.run)
        for row in entry.rows:
            self._sink.add(entry.key, row)
        if entry.closes:
            self._sink.end(entry.key, entry.ending)
        if entry.ending is not None:
            with (self._sink.folder / COMPLETE_FILE).open("a", encoding="utf-8") as file:
                file.write(f"{entry.key}\n")


@dataclass(frozen=True)
class _Entry:
    """What is to happen to a run, in this order: begin, add rows, end."""

    key: str
    run: LoggedRun | None = None
    rows: tuple[ReportRow, ...] = ()
    closes: bool = False
    ending: RunEnd | None = None


def read_complete(folder: Path) -> frozenset[str]:
    """Keys of the runs that a log holds to their end; a line that was cut off does not count."""
    try:
        text = (folder / COMPLETE_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return frozenset()
    return frozenset(line.strip() for line in text.splitlines(keepends=True) if line[-1] == "\n")


def _columns(row: ReportRow) -> dict[str, Any]:
    """A report's columns alone, without those that it does not have."""
    return {name: row[name] for name in COLUMNS if row.get(name) is not None}
