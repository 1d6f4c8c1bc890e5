"""Optuna's dashboard on a run's journal, for reading alone."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial

from search.logs.optuna_journal import STUDY_FILE
from trm.errors import UserError
from trm.files.paths import checked_path

StartResponse = Callable[..., Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


@dataclass(frozen=True)
class Marks:
    """What a run has found that its journal cannot tell.

    Attributes:
        study: a note on the study, in Markdown.
        winner: the winning trial's number in the ledger; None while there is none.
        trial: a note on the winner.
    """

    study: str
    winner: int | None = None
    trial: str = ""


class _ReadOnly(JournalFileBackend):
    """A journal that a sweep may be writing."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise RuntimeError("the journal of a run is only read")


class _Marked(JournalStorage):
    """A run's journal with what the run has found beyond it, in the dashboard's own terms."""

    def __init__(self, journal: Path, marks: Callable[[], Marks]) -> None:
        super().__init__(_ReadOnly(str(journal)))
        self._marks = marks

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return {**super().get_study_system_attrs(study_id), **self._notes(study_id)}

    def get_all_studies(self) -> list[FrozenStudy]:
        studies = super().get_all_studies()
        for study in studies:
            study.system_attrs = {**study.system_attrs, **self._notes(study._study_id)}
        return studies

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        return self._winner(study_id, self._marks()) or super().get_best_trial(study_id)

    def _winner(self, study_id: int, marks: Marks) -> FrozenTrial | None:
        if marks.winner is None:
            return None
        trials = self.get_all_trials(study_id, deepcopy=False)
        mine = (one for one in trials if marks.winner in one.user_attrs.get("trials", ()))
        return next(mine, None)

    def _notes(self, study_id: int) -> dict[str, Any]:
        marks = self._marks()
        found = _note(marks.study)
        winner = self._winner(study_id, marks)
        return found if winner is None else found | _note(marks.trial, f"{winner._trial_id}:")


def _note(text: str, whose: str = "") -> dict[str, Any]:
    """A note as the dashboard keeps it, see `optuna_dashboard.save_note`."""
    pieces = [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
    note = {f"dashboard:{whose}note_str:{number}": piece for number, piece in enumerate(pieces)}
    return {f"dashboard:{whose}note_ver": 1, **note}


_PIECE = 2045
"""Characters of an attribute at most, as the dashboard has it."""


def dashboard_app(folder: Path, marks: Callable[[], Marks]) -> Application:
    """The dashboard of a run folder as a WSGI application.

    A run's winner is its best trial, and has a note; another is on the study.

    It reads the journal anew for each request, so the trials of a sweep that goes on show up. What
    would change the journal (notes, renaming, deleting) is refused with 403. A sweep that is
    resumed puts a new journal in place of the old one: then the application starts over.

    Args:
        marks: what is known beyond the journal, asked at each request.

    Raises:
        UserError: no journal is there, or optuna-dashboard is not installed.
    """
    journal = _journal_of(folder)
    try:
        from optuna_dashboard import wsgi
    except ImportError as error:
        raise UserError(
            "--dashboard", None,
            "needs optuna-dashboard, which is not installed: pip install 'trm-search[dashboard]'",
        ) from error  # fmt: skip
    lock = threading.Lock()
    current: tuple[tuple[int, int], Application] | None = None

    def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        nonlocal current
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refuse(start_response, "403 Forbidden", "This dashboard only reads a run.")
        with lock:
            try:
                stat = journal.stat()
            except FileNotFoundError:
                return _refuse(start_response, "404 Not Found", "The run's journal is gone.")
            identity = (stat.st_dev, stat.st_ino)
            if current is None or current[0] != identity:
                current = identity, wsgi(_Marked(journal, marks))
            app = current[1]
        return app(environ, start_response)

    return application


@contextmanager
def dashboard_server(
    folder: Path, host: str, port: int, marks: Callable[[], Marks]
) -> Iterator[WSGIServer]:
    """A server of the dashboard, not yet serving; port 0 takes a free one.

    Raises:
        UserError: as `dashboard_app`, or nobody can listen there.
    """
    app = dashboard_app(folder, marks)
    try:
        server = make_server(host, port, app, server_class=_Server, handler_class=_Handler)
    except (OSError, OverflowError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"--host {host} --port {port}: cannot be listened on ({words}): choose another port"
        ) from error
    try:
        yield server
    finally:
        server.server_close()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Requests are nothing that a person wants to read."""


def _journal_of(folder: Path) -> Path:
    if re.match("[a-z][a-z0-9+.-]+:/", str(folder)):
        raise UserError(
            f"{folder}: is a URI, where Optuna's journal cannot live: only a run in a local folder "
            "has one"
        )
    if not (checked_path(folder) / "run.json").is_file():
        raise UserError(f"{folder}: holds no sweep: give the folder of `trm sweep`")
    journal = folder / STUDY_FILE
    if not journal.is_file():
        raise UserError(
            f"{folder}: has no {STUDY_FILE}: a population asks no sampler, and a sweep that has "
            "only just begun has none yet; see `trm status`"
        )
    return journal


def _refuse(start_response: StartResponse, status: str, reason: str) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps({"reason": reason}).encode()]
