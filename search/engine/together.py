"""One training as several processes on a Ray cluster."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.connect import ClusterError, connected
from cluster.processes import End, run_together
from trm.errors import UserError
from trm.run.training import Stopped
from trm.stopping import INTERRUPTED, instead_of_raising

_INTERRUPTED = re.compile(r"^trm: interrupted(?: at step (\d+))?")
_RESUME = re.compile(r"; what was saved stays; resume with: .*")
_CONFIG = "config.json"


def train_on_cluster(
    tree: dict[str, Any],
    out: Path,
    processes: int,
    address: str,
    *,
    options: list[str],
    say: Callable[[str], None],
) -> End:
    """Train as `trm train` does, in processes of one placement group that torch connects.

    Each has a GPU if the cluster has any and `train.device` does not say otherwise, and
    `train.threads` cores. What the first of them prints is printed here.

    Args:
        tree: the experiment and the section `log`, as plain values.
        out: the run folder, which the machine of the first process sees under this path.
        options: further ones of `trm train`.
        say: takes a line for a person.

    Raises:
        UserError: nobody answers at the address, or the cluster can never hold the processes.
        Stopped: a signal has stopped it; it is saved.
    """
    stop = threading.Event()
    stopped: list[int] = []
    lost: list[str] = []

    def err(line: str) -> None:
        # It speaks of a command that its own machine cannot repeat.
        if found := _INTERRUPTED.match(line):
            stopped.append(int(found[1] or 0))
        elif _RESUME.search(line):
            lost.append(line)
        else:
            print(line, file=sys.stderr, flush=True)

    words = ["-m", "search.cli", "train", f"{{{_CONFIG}}}", "--out", str(out), *options]
    files = {_CONFIG: json.dumps(tree)}
    train = tree["train"]
    try:
        with connected(address) as cluster, instead_of_raising(stop.set):
            resources = {"CPU": float(train["threads"])}
            if train["device"].startswith("cuda") or (
                train["device"] == "auto" and cluster.resources.get("GPU")
            ):
                resources["GPU"] = 1.0
            end = run_together(
                words, processes, resources=resources, files=files,
                out=lambda line: print(line, flush=True), err=err, say=say, stop=stop,
            )  # fmt: skip
    except ClusterError as error:
        raise UserError(str(error)) from error
    if stopped or end.code == INTERRUPTED or stop.is_set():
        raise Stopped(stopped[0] if stopped else 0, out)
    return end if lost or end.code is None else End(end.code)
