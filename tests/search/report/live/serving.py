"""A live page that is served while a test looks, and a run that grows meanwhile."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from search.config.plan import read_plan
from search.ledger.ledger import Ledger
from search.report.live.server import live_server
from tests.support.reported import MARKS, curve


@contextmanager
def served(folder: Path) -> Iterator[str]:
    with live_server(folder, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def add_trial(ledger: Ledger, seed: int, score: float, *, ends: bool = True) -> int:
    """A trial of the search with its whole curve."""
    plan = read_plan(ledger.folder)
    params, config = plan.space.sample(np.random.default_rng(seed))
    trial = ledger.add_trial(stage="explore", params=params, config=config, seed=0)
    attempt = ledger.begin_attempt(trial.id)
    for row in curve(trial.id, params, seed, MARKS if ends else 2, diverges=False):
        ledger.acknowledge(trial.id, attempt, row | {"exact_accuracy": score})
    if ends:
        ledger.finish(trial.id, "completed", score)
    ledger.flush()
    return trial.id


def listens_on(port: int) -> set[str]:
    """Addresses on which anybody of this machine listens at a port, as Linux has them."""
    found = set()
    for name in ("tcp", "tcp6"):
        table = Path("/proc/net") / name
        for line in table.read_text().splitlines()[1:] if table.is_file() else ():
            local, state = line.split()[1], line.split()[3]
            address, _, at = local.partition(":")
            if int(at, 16) == port and state == "0A":
                raw = b"".join(
                    int(address[i : i + 8], 16).to_bytes(4, "little")
                    for i in range(0, len(address), 8)
                )
                family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
                found.add(socket.inet_ntop(family, raw))
    return found
