"""What a live log is, and its config. A plug-in adds its own: `LOG_SINKS["mine"] = MyLogConfig`.

>>> isinstance(LOG_SINKS, dict)
True
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import SerializeAsAny

from curricula.component import Component, SectionIn
from trm.errors import UserError
from trm.report import ReportRow


@dataclass(frozen=True)
class LoggedRun:
    """One curve of a live log.

    Attributes:
        key: its name within the log.
        id: unique among all runs there are, the same on every resume.
        name: what a person sees; also the name of a folder.
        group: what it belongs to.
        kind: the stage, which is also a tag.
        config: the config tree and what else made the run, as plain values.
        params: drawn values, parameter path to value.
        started: when it began, in seconds since the epoch.
    """

    key: str
    id: str
    name: str
    group: str
    kind: str
    config: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    started: float = 0.0


@dataclass(frozen=True)
class RunEnd:
    """How a run ended; `failed` is what an exit code other than 0 says."""

    outcome: str
    score: float | None
    reason: str
    failed: bool


class Sink(Protocol):
    """A live log. Its methods are called from one thread and may raise anything."""

    name: str
    """What warnings call it."""
    folder: Path
    """Where it keeps its files."""

    def begin(self, run: LoggedRun) -> None:
        """Open a run. All its rows follow: what an unfinished one left is to be replaced."""

    def add(self, key: str, row: ReportRow) -> None:
        """A row of an open run."""

    def end(self, key: str, ending: RunEnd | None) -> None:
        """Close an open run; with None it will be begun again later."""

    def close(self) -> None:
        """Free what the log holds; no run is open any more."""


class LogSinkConfig(Component):
    """A live log of a plug-in, as an entry of `log.sinks`. Subclasses fix `name`."""

    name: str

    def build(self, folder: Path, run: str) -> Sink:
        """The log of a sweep.

        Args:
            folder: a local folder of its own, which is there; what an earlier process of the same
                sweep wrote is in it.
            run: unique to the sweep.
        """
        raise NotImplementedError(self.name)


LOG_SINKS: dict[str, type[LogSinkConfig]] = {}
"""The logs that `log.sinks` can name, beside W&B and TensorBoard, which have keys of their own."""

AnyLogSink = SerializeAsAny[Annotated[LogSinkConfig, SectionIn(LOG_SINKS)]]


def require_sink(name: str, sink: Any) -> None:
    """
    Raises:
        UserError: what a log's `build` gave is no live log.
    """
    missing = [part for part in ("begin", "add", "end", "close") if not hasattr(sink, part)]
    if missing or not isinstance(getattr(sink, "folder", None), Path):
        lacks = f"has no {', '.join(missing)}" if missing else "has no folder (a Path)"
        raise UserError(f"log sink {name!r}: build() gives {type(sink).__name__}, which {lacks}")
