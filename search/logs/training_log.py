"""One training in the live logs that its file asks for: W&B, TensorBoard and those of plug-ins."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from search.config.logs import LogConfig
from search.config.sinks import LoggedRun, RunEnd
from search.logs.trial_log import SECONDS_AFTER_AN_INTERRUPT, require_logs, run_id, sinks
from search.logs.writer import LogWriter
from trm.report import Report, ReportRow

ID_FILE = "log-id.txt"
"""In the run folder: what the run is called in its logs, the same on every resume."""
_KEY = "train"


class TrainingLog:
    """Hands a training's reports to its logs; without a log it does nothing.

    Logs hold no row twice, so each of them is given all rows whenever the training is gone on with.
    """

    def __init__(self, config: LogConfig, folder: Path, name: str, tree: Mapping[str, Any]) -> None:
        self._config, self._folder, self._name, self._tree = config, folder, name, tree
        self._writers: list[LogWriter] = []

    def begin(self, rows: Sequence[ReportRow]) -> None:
        """Open the logs: the run folder is there, and ours.

        Args:
            rows: the reports so far.
        """
        if not self._config.wanted:
            return
        group = self._id()
        run = LoggedRun(
            key=_KEY,
            id=run_id(group, _KEY),
            name=self._name,
            group=self._name,
            kind="train",
            config=self._tree,
            started=time.time(),
        )
        self._writers = [LogWriter(sink) for sink in sinks(self._config, self._folder, group)]
        for writer in self._writers:
            writer.begin(run, rows)

    def add(self, report: Report) -> None:
        """A new report."""
        for writer in self._writers:
            writer.add(_KEY, report.row())

    def end(self, outcome: str, score: float | None) -> None:
        """The training has come to its end."""
        for writer in self._writers:
            writer.end(_KEY, RunEnd(outcome, score, "", failed=outcome != "completed"))

    def close(self, seconds: float | None = None) -> None:
        """Write what waits, for at most so long if seconds are given."""
        for writer in self._writers:
            if writer.is_open(_KEY):
                writer.end(_KEY, None)
            writer.close(seconds)

    def _id(self) -> str:
        path = self._folder / ID_FILE
        if not path.is_file():
            path.write_text(f"{self._name}-{secrets.token_hex(6)}\n", encoding="utf-8")
        return path.read_text(encoding="utf-8").strip()


@contextmanager
def training_log(
    config: LogConfig, folder: Path, name: str, tree: Mapping[str, Any]
) -> Iterator[TrainingLog]:
    """The log of a training, closed at the end; after an interrupt it gets a few seconds.

    Raises:
        UserError: W&B is to go online without credentials.
    """
    require_logs(config)
    log = TrainingLog(config, folder, name, tree)
    seconds = None
    try:
        yield log
    except (KeyboardInterrupt, SystemExit):
        seconds = SECONDS_AFTER_AN_INTERRUPT
        raise
    finally:
        log.close(seconds)
