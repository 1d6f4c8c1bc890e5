"""Curves as TensorBoard event files: a run a trial, a scalar a report column."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import hparams

from search.config.sinks import LoggedRun, RunEnd
from trm.report import ReportRow

SCORE = "score"
"""The scalar that holds a run's score, at its last step."""


class TensorBoardSink:
    """Writes the runs of one folder; `tensorboard --logdir FOLDER` shows them while they grow.

    A row's wall time is the run's start plus its `seconds`, so that the relative axis shows time
    spent training and evaluating, whatever pauses lie between. A run's drawn values and score
    stand in the HParams tab.
    """

    name = "TensorBoard"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[str, _OpenRun] = {}

    def begin(self, run: LoggedRun) -> None:
        """Open a run; what is in its folder is gone on with."""
        folder = self.folder / run.name
        folder.mkdir(parents=True, exist_ok=True)
        self._open[run.key] = _OpenRun(run, folder)

    def add(self, key: str, row: ReportRow) -> None:
        """A row as one event with a scalar a column, unless it is there."""
        self._open[key].write_row(row)

    def end(self, key: str, ending: RunEnd | None) -> None:
        """Close a run's file, with its score if it has one."""
        run = self._open.pop(key)
        if ending is not None:
            run.write_end(ending)
        run.writer.close()

    def close(self) -> None:
        """Close the files of all runs."""
        for key in tuple(self._open):
            self.end(key, None)


class _OpenRun:
    def __init__(self, run: LoggedRun, folder: Path) -> None:
        self.run = run
        self.step, self.seconds = 0, 0.0
        self._last, self._has_score = -1, False
        for event in _events_in(folder):
            self._last = max(self._last, event.step)
            self._has_score |= any(value.tag == SCORE for value in event.summary.value)
        # TensorBoard reads files in the order of their names, which have whole seconds only.
        self.writer = EventsWriter(str(folder / "events"), f".{time.time_ns():020d}")

    def write_row(self, row: ReportRow) -> None:
        self.step, self.seconds = row["step"], row.get("seconds", 0.0)
        if self.step > self._last:
            self._scalars(row)

    def write_end(self, ending: RunEnd) -> None:
        if self._has_score:
            return
        score = {} if ending.score is None else {SCORE: ending.score}
        values = {name: _plain(value) for name, value in self.run.params.items()}
        named = {**values, "stage": self.run.kind, "outcome": ending.outcome}
        for summary in hparams(named, score):
            self._event(summary)
        if score:  # last: it says that all is written
            self._scalars(score)

    def _scalars(self, values: ReportRow) -> None:
        scalars = [
            Summary.Value(tag=name, simple_value=float(value)) for name, value in values.items()
        ]
        self._event(Summary(value=scalars))

    def _event(self, summary: Any) -> None:
        wall_time = self.run.started + self.seconds
        self.writer.write_event(Event(wall_time=wall_time, step=self.step, summary=summary))
        self.writer.flush()


def _events_in(folder: Path) -> Iterator[Any]:
    """The events of a folder's files; one that was cut off when its process died is left out.

    A record is its length (8 bytes, little-endian), a checksum of that (4), the event, and a
    checksum of it (4): the TFRecord format, as in TensorFlow's `core/lib/io/record_writer.h`.
    """
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data, place = path.read_bytes(), 0
        while place + 12 <= len(data):
            begin, length = place + 12, int.from_bytes(data[place : place + 8], "little")
            place = begin + length + 4
            if place <= len(data):
                yield Event.FromString(data[begin : begin + length])


def _plain(value: Any) -> bool | float | str:
    return value if isinstance(value, (bool, int, float, str)) else str(value)
