"""The same sweep on a Ray cluster that is already up: two nodes, both on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from cluster.connect import check_address
from search.ledger.reader import read_trials

TRM = str(Path(sys.executable).with_name("trm"))


@pytest.fixture
def address() -> Iterator[str]:
    """Two raylets with a core each, as two machines would have them."""
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        cluster.add_node(num_cpus=1)
        yield cluster.address
    finally:
        cluster.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demos_sweep_runs_on_both_nodes(address: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [TRM, "sweep", "arrows4", "--address", address, "--out", str(run), "--trials", "8",
               "--set", "train.budget.steps=60", "--set", "stability.seeds=1",
               "--set", "stability.promise_seeds=2"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr
    trials = read_trials(run).values()
    nodes = Counter(trial.provenance["node"] for trial in trials if trial.provenance)
    assert len(nodes) == 2, nodes
    assert min(nodes.values()) >= 2, nodes
    assert {trial.outcome for trial in trials} <= {"completed", "pruned"}
    # The cluster is not ours to stop.
    check_address(address)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_doctor_asks_every_node(address: str, tmp_path: Path) -> None:
    command = [TRM, "doctor", "--cluster", address, "--out", str(tmp_path / "runs"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    asked = Counter(check["node"] for check in found if check["name"] == "run folder")
    assert sum(asked.values()) == 2, "each of two nodes, though both have one name here"
    assert {check["verdict"] for check in found if check["name"] == "run folder"} == {"ok"}
    assert {check["verdict"] for check in found if check["name"] == "versions"} == {"ok"}
    assert not list((tmp_path / "runs").iterdir())
