"""A sweep's trials in its live logs: W&B and TensorBoard."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from search.config.logs import LogConfig
from search.config.sinks import LoggedRun, LogSinkConfig, RunEnd, Sink, require_sink
from search.ledger.book import Book
from search.ledger.storage import Place
from search.ledger.trial import Trial
from search.logs.console import warn
from search.logs.writer import LogWriter

SECONDS_AFTER_AN_INTERRUPT = 3.0
_GOOD = ("completed", "pruned", "stopped")


class TrialLog:
    """Listens to trials and hands them to a writer.

    Trials that the log does not hold to their end, although no worker tells of them any more, are
    filled in from the ledger: one whenever a trial ends, which holds nobody up, and the rest at
    the close.
    """

    def __init__(self, writer: LogWriter, book: Book, study: str) -> None:
        self._writer = writer
        self._book = book
        self._study = study
        self._done = {int(key) for key in writer.complete}
        self._missing = self._find_missing()

    def started(self, trial: Trial, worker: str) -> None:
        """A worker begins or resumes a trial."""
        if not self._writer.is_open(str(trial.id)):
            self._begin(trial)

    def reported(self, trial: Trial, row: Mapping[str, Any], score: float) -> None:
        """A report was acknowledged."""
        if self._writer.is_open(str(trial.id)):
            self._writer.add(str(trial.id), row)
        else:
            self._begin(trial)

    def paused(self, trial: Trial) -> None:
        """A trial waits: its run is closed until then, so that few are open at once."""
        if self._writer.is_open(str(trial.id)):
            self._writer.end(str(trial.id), None)

    def ended(self, trial: Trial) -> None:
        """A trial has its outcome."""
        if not self._writer.is_open(str(trial.id)):
            self._begin(trial)
        self._writer.end(str(trial.id), _ending(trial))
        self._done.add(trial.id)
        if self._missing:
            self._fill_in(self._missing.pop())

    def close(self, seconds: float | None = None) -> None:
        """Write what is missing, for at most so long if seconds are given."""
        try:
            if seconds is None:
                self._done -= {int(key) for key in self._writer.behind}
                for trial_id in self._find_missing():
                    self._fill_in(trial_id, wait=True)
        except Exception as error:  # the ledger cannot be read: what stopped the run says why
            warn(f"live logs lack trials ({type(error).__name__}); --resume writes the rest")
        self._writer.close(seconds)

    def _find_missing(self) -> list[int]:
        return [
            trial.id
            for trial in self._book.trials.values()
            if trial.outcome not in (None, "infeasible") and trial.id not in self._done
        ]

    def _fill_in(self, trial_id: int, *, wait: bool = False) -> None:
        trial = self._book.trials[trial_id]
        self._begin(trial, wait=wait)
        self._writer.end(str(trial_id), _ending(trial), wait=wait)
        self._done.add(trial_id)

    def _begin(self, trial: Trial, *, wait: bool = False) -> None:
        rows = self._book.curve(trial.id) if trial.mark else ()
        self._writer.begin(_run_of(trial, self._study), rows, wait=wait)


def require_logs(config: LogConfig) -> None:
    """Refuse a log that cannot be begun, before anything starts.

    Raises:
        UserError: W&B is to go online without credentials.
    """
    if config.wandb.mode == "online":
        from search.logs.wandb import require_login

        require_login()


@contextmanager
def live_logs(
    config: LogConfig, book: Book, folder: Place | str, study: str
) -> Iterator[list[TrialLog]]:
    """The live logs of a run that its config asks for, closed at the end.

    After an interrupt they get a few seconds; the next resume writes the rest.

    Raises:
        UserError: a log cannot be begun.
    """
    require_logs(config)
    logs = [TrialLog(LogWriter(sink), book, study) for sink in sinks(config, folder, study)]
    seconds = None
    try:
        yield logs
    except (KeyboardInterrupt, SystemExit):
        seconds = SECONDS_AFTER_AN_INTERRUPT
        raise
    finally:
        for log in logs:
            log.close(seconds)


def sinks(config: LogConfig, folder: Place | str, study: str) -> list[Sink]:
    """The live logs of a run folder; a run at a URI has them below `runs/STUDY` here."""
    # A Path holds a URI with one slash.
    is_uri = re.match("[a-z][a-z0-9+.-]+:/", str(folder))
    here = Path("runs", study).absolute() if is_uri else Path(str(folder)).absolute()
    found: list[Sink] = []
    if config.wandb.mode != "off":
        from search.logs.wandb import WandbSink

        found.append(WandbSink(here, config.wandb))
    if config.tensorboard:
        from search.logs.tensorboard import TensorBoardSink

        found.append(TensorBoardSink(here / "tensorboard"))
    return found + [_built(section, here / section.name, study) for section in config.sinks]


def _built(section: LogSinkConfig, folder: Path, study: str) -> Sink:
    folder.mkdir(parents=True, exist_ok=True)
    sink = section.build(folder, study)
    require_sink(section.name, sink)
    return sink


def run_id(study: str, name: str) -> str:
    """An id that W&B takes, at most 128 characters of letters, digits, `.`, `_` and `-`.

    >>> run_id("my sweep-4f2e13f174c0", "7")
    'my-sweep-4f2e13f174c0-7'
    """
    return re.sub(r"[^\w.-]", "-", f"{study[-100:]}-{name}", flags=re.ASCII)


def _run_of(trial: Trial, study: str) -> LoggedRun:
    place = {
        "trial": trial.id,
        "stage": trial.stage,
        "candidate": trial.candidate,
        "seed": trial.seed,
    }
    begun = datetime.fromisoformat(trial.started).timestamp() if trial.started else 0.0
    return LoggedRun(
        key=str(trial.id),
        id=run_id(study, str(trial.id)),
        name=f"{trial.stage}-{trial.id:05d}",
        group=study,
        kind=trial.stage,
        config={**trial.config, **place},
        params=trial.params,
        started=begun,
    )


def _ending(trial: Trial) -> RunEnd | None:
    if trial.outcome is None:
        return None
    failed = trial.outcome not in _GOOD
    return RunEnd(trial.outcome, trial.score, trial.reason, failed)
