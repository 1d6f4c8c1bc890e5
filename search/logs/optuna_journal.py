"""The sweep's candidates as an Optuna study in a journal file, for optuna-dashboard and the like.

A view for people and tools: it is written from the history and never read to decide anything.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from search.objectives.objective import Direction
from search.samplers.history import PastTrial
from search.samplers.optuna_trials import Translator
from search.space.space import Space
from trm.blame import blame

FLUSH_SECONDS = 3.0
"""How long what has happened may wait to be written."""

BATCH = 500
"""Trials that are held in memory at most before they are written."""


@dataclass(frozen=True)
class Entry:
    """What the study is to say of one candidate.

    Attributes:
        record: as samplers know it.
        attributes: the trial's user attributes, such as its ids in the ledger.
        started: when it began, ISO 8601; None for now.
        finished: when its outcome was known.
    """

    record: PastTrial
    attributes: Mapping[str, Any] = field(default_factory=dict)
    started: str | None = None
    finished: str | None = None


class StudyLog:
    """Writes a journal in batches: at most every few seconds, and at the end.

    The trial of candidate n is number n + the number of warm-start records, which come first. Every
    trial is told once: COMPLETE, PRUNED or FAIL, with the constraints that it violates.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        space: Space,
        directions: Sequence[Direction],
        metrics: Sequence[str],
        entries: Iterable[Entry] = (),
        attributes: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Put a fresh journal in place of what is at `path`; a crash leaves the old or the new.

        The caller must be the only writer.

        Args:
            name: the study's, unique to the run.
            metrics: a name for each objective.
            entries: what has happened so far, warm-start records included, in any order.
            attributes: user attributes of the study.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._translator = Translator(space, as_pruned=len(directions) == 1)
        self._clock = clock
        self._buffer = _Buffer()
        self._storage = JournalStorage(self._buffer)
        study = optuna.create_study(
            study_name=name,
            storage=self._storage,
            sampler=optuna.samplers.RandomSampler(),
            directions=list(directions),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(list(metrics))
        for key, value in (attributes or {}).items():
            study.set_user_attr(key, value)
        self._study = study._study_id
        self._waiting: dict[int, Entry] = {entry.record.number: entry for entry in entries}
        self._offset = -min([0, *self._waiting])
        self._open: dict[int, int] = {}
        self._next = -self._offset
        draft = path.with_name(path.name + ".tmp")
        # A killed driver leaves its lock behind, for which Optuna would wait 30 s.
        for leftover in (draft, *(Path(f"{journal}.lock") for journal in (path, draft))):
            with suppress(FileNotFoundError):
                leftover.unlink()
        self._file, self._path = JournalFileBackend(str(draft)), draft
        self.flush()
        os.replace(draft, path)
        self._file, self._path = JournalFileBackend(str(path)), path

    def update(self, entry: Entry) -> None:
        """A candidate has begun or ended; it is written within a few seconds of work."""
        self._waiting[entry.record.number] = entry
        if self._clock() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write whatever waits; where storage takes nothing now, it waits for the next time."""
        for count, number in enumerate(sorted(self._waiting), start=1):
            self._write(number, self._waiting[number])
            if count % BATCH == 0:
                self._store()
        self._waiting.clear()
        self._store()
        self._flushed = self._clock()

    def close(self) -> None:
        """Write whatever waits; the log may go on afterwards."""
        self.flush()

    def _store(self) -> None:
        size = self._path.stat().st_size if self._path.exists() else 0
        try:
            self._buffer.write_to(self._file)
        except OSError as error:
            if blame(error).culprit != "storage":
                raise
            with suppress(OSError):  # half a line would end whoever reads it
                os.truncate(self._path, size)

    def _write(self, number: int, entry: Entry) -> None:
        trial = self._translator.trial(
            entry.record, number + self._offset, attributes=entry.attributes
        )
        running = trial.state == TrialState.RUNNING
        if number in self._open:
            if not running:
                self._finish(self._open.pop(number), trial)
            return
        assert number == self._next, (number, self._next)
        self._next += 1
        if entry.started is not None:
            trial.datetime_start = datetime.fromisoformat(entry.started)
        if entry.finished is not None and not running:
            trial.datetime_complete = datetime.fromisoformat(entry.finished)
        trial_id = self._storage.create_new_trial(self._study, trial)
        if running:
            self._open[number] = trial_id

    def _finish(self, trial_id: int, trial: FrozenTrial) -> None:
        for step, value in trial.intermediate_values.items():
            self._storage.set_trial_intermediate_value(trial_id, step, value)
        for key, value in trial.user_attrs.items():
            self._storage.set_trial_user_attr(trial_id, key, value)
        for key, value in trial.system_attrs.items():
            self._storage.set_trial_system_attr(trial_id, key, value)
        self._storage.set_trial_state_values(trial_id, trial.state, trial.values)


_CONTENTS = ("distributions", "params", "user_attrs", "system_attrs", "intermediate_values")


class _Buffer(BaseJournalBackend):
    """Keeps what Optuna appends until it is written to a file at once.

    Optuna keeps in memory all that it reads back, so it reads back only that a trial exists.
    """

    def __init__(self) -> None:
        self._dropped = 0
        self._logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        assert log_number_from >= self._dropped
        for log in self._logs[log_number_from - self._dropped :]:
            yield {**log, **{key: {} for key in _CONTENTS}} if _CONTENTS[0] in log else log

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._logs += logs

    def write_to(self, file: JournalFileBackend) -> None:
        if self._logs:
            file.append_logs(self._logs)
            self._dropped += len(self._logs)
            self._logs.clear()


STUDY_FILE = "study.log"
