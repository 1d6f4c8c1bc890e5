"""Toy trainings on a cluster of several nodes, by a driver of its own that says what happens.

`python -m tests.support.on_nodes FOLDER ADDRESS SECTIONS CONFIGS` prints a JSON object a line:
`resized` with `gpus`, `started` with its `worker`, `reported`, `ended` and `note`, each with the
time. SECTIONS is the file's `cluster`, with `plugins`, a `factory` and `fastest`, a core's FLOPs a
second, besides.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ray.cluster_utils import Cluster

from tests.support.folders import ROOT
from tests.support.toy_training import ToyTraining

FACTORY = "tests.support.on_nodes:NodeTraining"


class NodeTraining(ToyTraining):
    """The toy, which says what GPUs it sees."""

    def provenance(self) -> dict[str, Any]:
        return {**super().provenance(), "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", "")}


@contextmanager
def nodes(*first: Mapping[str, Any], head: Mapping[str, Any] | None = None) -> Iterator[Cluster]:
    """A Ray of a head, without a core if nothing is said, and these nodes, all on this machine."""
    # Ray's own choice, 15, lets a worker take minutes to start where anything else is at work.
    with patch.dict(os.environ, {"RAY_worker_niceness": "0"}):
        cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False, **(head or {})},
        )
        try:
            for node in first:
                cluster.add_node(**node)
            yield cluster
        finally:
            cluster.shutdown()


class Sweep:
    """A driver in a process of its own, and what it has said so far."""

    def __init__(
        self, folder: Path, address: str, configs: Sequence[Mapping[str, Any]], **sections: Any
    ) -> None:
        command = [
            sys.executable, "-m", "tests.support.on_nodes",
            str(folder), address, json.dumps(sections), json.dumps(configs),
        ]  # fmt: skip
        self.folder = folder
        self.lines: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._threads = [threading.Thread(target=work) for work in (self._read, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def said(self, kind: str, **values: Any) -> list[dict[str, Any]]:
        """Lines of a kind that have these values."""
        return [
            line
            for line in list(self.lines)
            if kind in line and all(line[key] == value for key, value in values.items())
        ]

    def until(self, kind: str, *, seconds: float = 120.0, **values: Any) -> dict[str, Any]:
        """The first line of a kind that has these values, once it is there."""
        end = time.monotonic() + seconds
        while not (found := self.said(kind, **values)):
            assert self.process.poll() is None, "".join(self.errors)
            assert time.monotonic() < end, (kind, values, self.lines, self.errors)
            time.sleep(0.05)
        return found[0]

    def wait(self, seconds: float = 240.0) -> int:
        """How it ended."""
        try:
            return self.process.wait(seconds)
        finally:
            self.process.kill()
            for thread in self._threads:
                thread.join()


def main() -> None:
    folder, address = Path(sys.argv[1]), sys.argv[2]
    sections, configs = json.loads(sys.argv[3]), json.loads(sys.argv[4])
    from search.engine.driver import Runner, driving
    from search.engine.packing import worth
    from search.engine.presence import present_in
    from search.engine.source import FixedTrials
    from search.ledger.ledger import Ledger
    from search.logs.terminal import SweepDisplay
    from tests.support.killable import tree
    from tests.support.planned import planned
    from trm.errors import UserError

    begun = time.monotonic()

    def say(**values: Any) -> None:
        print(json.dumps({"at": round(time.monotonic() - begun, 2), **values}), flush=True)

    class Saying(SweepDisplay):
        def started(self, trial: Any, worker: str) -> None:
            say(started=trial.id, worker=worker, attempt=trial.attempts)

        def note(self, line: str) -> None:
            say(note=line)

        def reported(self, trial: Any, row: Any, score: float) -> None:
            say(reported=trial.id, mark=row["mark"])

        def ended(self, trial: Any) -> None:
            say(ended=trial.id, outcome=trial.outcome)

    worth.FASTEST = sections.pop("fastest", worth.FASTEST)
    plugins, factory = sections.pop("plugins", []), sections.pop("factory", FACTORY)
    plan = planned({**tree("none", 4, 1), "plugins": plugins, "cluster": sections})
    runner = Runner(address, None, Saying(quiet=True), factory, [str(ROOT), *sys.path[:1]])
    with Ledger.create(folder) as ledger:
        for number, config in enumerate(configs):
            ledger.add_trial(stage="explore", params={}, config=config, seed=number)
        try:
            with (
                present_in(folder) as presence,
                driving(plan, ledger, runner, presence) as driver,
            ):
                driver.run(
                    FixedTrials(list(ledger.trials.values()), plan.objective, 0.0),
                    resized=lambda n, share: say(resized=n, gpus=share.gpus),
                )
        except UserError as error:
            sys.exit(f"trm: error: {error}")


if __name__ == "__main__":
    main()
