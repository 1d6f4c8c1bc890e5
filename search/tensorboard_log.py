"""Curves as TensorBoard event files: a run a trial, a scalar a report column."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter  # type: ignore[import-untyped]
from tensorboardX.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
from tensorboardX.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboardX.summary import hparams  # type: ignore[import-untyped]

from search.recorder import Ending, LoggedRun, Row

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
        """Start a run's file; an unfinished one that is there is removed."""
        folder = self.folder / run.name
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._open[run.key] = _OpenRun(run, folder)

    def add(self, key: str, row: Row) -> None:
        """A row as one event with a scalar a column."""
        self._open[key].write(row["step"], row.get("seconds", 0.0), row)

    def end(self, key: str, ending: Ending | None) -> None:
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
        # The suffix keeps a file apart from one that was begun in the same second.
        self.writer = EventsWriter(str(folder / "events"), f".{os.getpid()}.{id(self):x}")
        self.step, self.seconds = 0, 0.0
        # Tells a TensorBoard that is running to forget what it read of an earlier file.
        self._event(session_log=SessionLog(status=SessionLog.START))

    def write(self, step: int, seconds: float, values: Row) -> None:
        self.step, self.seconds = step, seconds
        scalars = [
            Summary.Value(tag=name, simple_value=float(value)) for name, value in values.items()
        ]
        self._event(summary=Summary(value=scalars))

    def write_end(self, ending: Ending) -> None:
        score = {} if ending.score is None else {SCORE: ending.score}
        if score:
            self.write(self.step, self.seconds, score)
        values = {name: _plain(value) for name, value in self.run.params.items()}
        named = {**values, "stage": self.run.kind, "outcome": ending.outcome}
        for summary in hparams(named, score):
            self._event(summary=summary)

    def _event(self, **content: Any) -> None:
        wall_time = self.run.started + self.seconds
        self.writer.write_event(Event(wall_time=wall_time, step=self.step, **content))
        self.writer.flush()


def _plain(value: Any) -> bool | float | str:
    return value if isinstance(value, (bool, int, float, str)) else str(value)
