"""The live page over HTTP: read-only, for this machine alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from search.ledger.storage import Place
from search.report.live.follow import SERVED, Follower
from search.report.live.trials import config_text, log_text
from trm.errors import UserError

LOOPBACK = "127.0.0.1"
"""The only address that it listens on."""
_OURS = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
"""Host headers that are answered: a name of somebody else's that leads here is none of them.

A tunnel (`ssh -L`) may bring another port.
"""
_OF_A_TRIAL = re.compile(r"/trials/([0-9]{1,9})/(log|config)")
_PATIENCE = 30.0
"""Seconds for which a connection may say nothing."""

Answer = tuple[int, str, str]
"""Status, kind of content, text."""


@contextmanager
def live_server(folder: Place, port: int) -> Iterator[ThreadingHTTPServer]:
    """A server of a run's live page, not yet serving; port 0 takes a free one.

    It answers GET and HEAD of `/`, `/changes?since=VERSION`, `/trials/NUMBER/log` and
    `/trials/NUMBER/config`. No part of a request is a path: a trial is found by its number.

    Raises:
        UserError: the folder holds no run, or nobody can listen there.
    """
    follower = Follower(folder)
    try:
        server = _Server((LOOPBACK, port), _handler(follower))
    except (OSError, OverflowError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise UserError(
            "--port", port, f"cannot be listened on ({words}): choose another port, 0 is a free one"
        ) from error
    follower.start()
    try:
        yield server
    finally:
        follower.end()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A viewer who goes away in the middle is nothing that a person wants to read of."""


def _handler(follower: Follower) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE
        server_version, sys_version = "trm", ""

        def do_GET(self) -> None:
            self._send(answer(follower, self.path, self.headers.get_all("Host", [])))

        do_HEAD = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are nothing that a person wants to read."""

        def _send(self, found: Answer) -> None:
            status, kind, text = found
            content = text.encode()
            self.send_response(status)
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            if content:
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    return Handler


_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"{SERVED}; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def answer(follower: Follower, target: str, hosts: list[str]) -> Answer:
    """What a request is answered.

    Args:
        target: its path and query.
        hosts: its Host headers.
    """
    if len(hosts) != 1 or not _OURS.fullmatch(hosts[0].strip()):
        # A page of another site whose name was made to lead here must read nothing.
        return 421, "text/plain", "This server answers to localhost and 127.0.0.1 alone.\n"
    parts = urlsplit(target)
    if parts.path == "/":
        return 200, "text/html", follower.html()
    if parts.path == "/changes":
        since = parse_qs(parts.query).get("since", ["0"])[-1]
        version = int(since) if re.fullmatch(r"[0-9]{1,15}", since) else 0
        return 200, "application/json", json.dumps(follower.changes(version))
    if parts.path == "/favicon.ico":
        return 204, "text/plain", ""  # a browser asks for it, and complains where it is missing
    if (found := _OF_A_TRIAL.fullmatch(parts.path)) is not None:
        texts: dict[str, Callable[[Place, int], str]] = {"log": log_text, "config": config_text}
        try:
            return 200, "text/plain", texts[found[2]](follower.folder, int(found[1]))
        except (UserError, KeyError, OSError):
            return 404, "text/plain", f"Trial {found[1]} is not there, or cannot be read now.\n"
    return 404, "text/plain", "There is no such page: / is the run's.\n"
