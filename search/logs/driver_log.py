"""What a driver did, line by line, kept in the run folder: `logs/driver/*.jsonl`, one a driver.

Beginnings of attempts with their workers, pauses, ends and warnings. What the ledger has is there
for good; this is bounded, and who reads both takes the ledger's word.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from search.ledger.storage import Place
from search.ledger.trial import Trial
from search.logs.console import warned
from search.logs.kept_text import KeptText
from trm.files.presence import Presence

DRIVER_LOGS = "driver"
_HEAD, _TAIL = 128 << 10, 896 << 10


@dataclass(frozen=True)
class RunEvent:
    """A line of what happened in a run.

    Attributes:
        at: when, UTC, ISO 8601.
        kind: `driver`, `warning`, `begun`, `paused`, `ended`, `lost` or `stopped`.
        text: in words.
        trial: whose, if it is one's.
        worker: host and process, of an attempt that began.
    """

    at: str
    kind: str
    text: str
    trial: int | None = None
    worker: str = ""

    def line(self) -> str:
        """For a person.

        >>> RunEvent("2026-01-01T00:00:00+00:00", "ended", "completed, score 0.5", 3).line()
        '2026-01-01 00:00:00  trial 3: completed, score 0.5'
        """
        whose = "" if self.trial is None else f"trial {self.trial}: "
        warning = "warning: " if self.kind == "warning" else ""
        return f"{self.at[:19].replace('T', ' ')}  {warning}{whose}{self.text}"


class DriverLog:
    """Listens to trials and warnings, and writes them down; storage may fail meanwhile."""

    def __init__(self, folder: Place, presence: Presence) -> None:
        self._presence = presence
        stamp = presence.began.replace(":", "").replace("-", "")[:15]
        file = f"{stamp}-{presence.token[:8]}.jsonl"
        self._kept = KeptText(folder / "logs" / DRIVER_LOGS / file, _HEAD, _TAIL)
        self._at_disk = isinstance(folder, Path)
        self._lines: deque[str] = deque()
        self._busy = threading.Lock()

    def started(self, trial: Trial, worker: str) -> None:
        """A worker has begun or resumed a trial."""
        what = "begins" if trial.attempts <= 1 else f"goes on (attempt {trial.attempts})"
        text = f"{what} on {worker}: {trial.stage}, candidate {trial.candidate}, seed {trial.seed}"
        self.add("begun", text, trial.id, worker)

    def reported(self, trial: Trial, row: Mapping[str, Any], score: float) -> None:
        """Reports are in the ledger."""

    def paused(self, trial: Trial) -> None:
        """A trial waits."""
        self.add("paused", f"waits after report {trial.mark}", trial.id)

    def ended(self, trial: Trial) -> None:
        """A trial's outcome is in the ledger."""

    def warned(self, text: str) -> None:
        """Somebody was warned."""
        self.add("warning", text)

    def add(self, kind: str, text: str, trial: int | None = None, worker: str = "") -> None:
        """Write a line down."""
        tree = {"at": _now(), "kind": kind, "text": " ".join(text.split())}
        if trial is not None:
            tree["trial"] = trial  # type: ignore[assignment]
        if worker:
            tree["worker"] = worker
        self._lines.append(json.dumps(tree) + "\n")
        if self._at_disk:  # a store may take seconds, for which the driver does not wait
            self.flush()

    def flush(self) -> None:
        """Write what has come, if storage takes it; from any thread."""
        with self._busy, suppress(Exception):
            while self._lines:
                self._kept.add(self._lines.popleft())
            self._kept.flush()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@contextmanager
def driver_log(folder: Place, presence: Presence) -> Iterator[DriverLog]:
    """The log of the driver at work, as long as it is."""
    log = DriverLog(folder, presence)
    log.add("driver", f"{presence.who} is at work")
    presence.tells(lambda: log.flush() or {})  # type: ignore[func-returns-value]
    warned.append(log.warned)
    how = "is done"
    try:
        yield log
    except KeyboardInterrupt:
        how = "was stopped"
        raise
    except BaseException as error:
        how = f"failed: {error}"[:300]
        raise
    finally:
        warned.remove(log.warned)
        log.add("driver", f"{presence.who} {how}")
        log.flush()


def read_driver_logs(folder: Place) -> list[RunEvent]:
    """What all drivers of a run wrote down, oldest first; what is no line of theirs is left out."""
    found: list[RunEvent] = []
    files: list[Place] = list((folder / "logs" / DRIVER_LOGS).glob("*.jsonl"))
    for file in files:
        with suppress(OSError):
            for line in file.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, TypeError, RecursionError):
                    event = RunEvent(**json.loads(line))
                    if isinstance(event.at, str) and isinstance(event.text, str):
                        found.append(event)
    return sorted(found, key=lambda event: event.at)
