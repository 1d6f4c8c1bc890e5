"""Optuna's dashboard on a run's journal, for reading alone."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from search.logs.optuna_journal import STUDY_FILE
from trm.errors import UserError
from trm.files.paths import checked_path

StartResponse = Callable[..., Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class _ReadOnly(JournalFileBackend):
    """A journal that a sweep may be writing."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise RuntimeError("the journal of a run is only read")


def dashboard_app(folder: Path) -> Application:
    """The dashboard of a run folder as a WSGI application.

    It reads the journal anew for each request, so the trials of a sweep that goes on show up. What
    would change the journal (notes, renaming, deleting) is refused with 403. A sweep that is
    resumed puts a new journal in place of the old one: then the application starts over.

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
                current = identity, wsgi(JournalStorage(_ReadOnly(str(journal))))
            app = current[1]
        return app(environ, start_response)

    return application


@contextmanager
def dashboard_server(folder: Path, host: str, port: int) -> Iterator[WSGIServer]:
    """A server of the dashboard, not yet serving; port 0 takes a free one.

    Raises:
        UserError: as `dashboard_app`, or nobody can listen there.
    """
    app = dashboard_app(folder)
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
