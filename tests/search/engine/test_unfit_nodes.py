"""Nodes that must not run trials do not, and one line says why; the others do."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from search.ledger.reader import read_book
from tests.support.folders import ROOT
from tests.support.on_nodes import Sweep, nodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@contextmanager
def node_without(hidden: Path, address: str) -> Iterator[None]:
    """A node of a core for which a folder is an empty one of its own."""
    ray = Path(sys.executable).with_name("ray")
    script = (
        f'mount -t tmpfs none "$1" && exec {ray} start --address {address} --num-cpus 1 --block'
    )
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(hidden)]
    if os.geteuid() or subprocess.run(["unshare", "--mount", "true"]).returncode:
        pytest.skip("needs root, to hide a folder from a node")
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def test_nodes_that_lack_something_get_no_trials(tmp_path: Path) -> None:
    shared, other = tmp_path / "shared", tmp_path / "other"
    shared.mkdir()
    for name in ("cluster", "curricula", "search", "trm"):
        shutil.copytree(ROOT / name, other / name)
    (other / "trm" / "report.py").open("a").write("\n# changed\n")
    with (
        nodes(
            {"num_cpus": 1},
            {"num_cpus": 1, "env_vars": {"PYTHONPATH": str(other)}},
        ) as cluster,
        node_without(shared, cluster.address),
    ):
        sweep = Sweep(shared / "run", cluster.address, [{"sleep": 0.5}] * 3)
        sweep.until("started", started=0)
        # A joiner has to show it as well.
        joiner = cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": str(other)})
        assert sweep.wait() == 0, sweep.errors
        assert joiner
    book = read_book(shared / "run")
    assert {trial.outcome for trial in book.trials.values()} == {"completed"}
    assert len({trial.provenance["node"] for trial in book.trials.values()}) == 1
    assert not book.attempts
    assert {line["resized"] for line in sweep.said("resized")} == {0, 1}
    said = [line for line in sweep.errors if "it gets no trials" in line]
    assert sum("its code of this package is not the driver's" in line for line in said) == 2
    assert sum(f"the run folder {shared}/run is not there" in line for line in said) == 1
    assert len(said) == 3
    assert not list((shared / "run").glob(".probe*"))
