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


PLUGIN = """
import os
if os.environ.get("LACKS"):
    raise ImportError("no such library")
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_every_node_lacks_is_found_before_the_first_trial(tmp_path: Path) -> None:
    (tmp_path / "node_plugin.py").write_text(PLUGIN)
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    try:
        cluster.add_node(num_cpus=1, env_vars={"LACKS": "1"})
        command = [TRM, "sweep", "arrows4", "--address", cluster.address, "--out",
                   str(tmp_path / "run"), "--set", "plugins=[node_plugin]"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=tmp_path)
    finally:
        cluster.shutdown()
    assert done.returncode == 2, done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("trm: error: node ")
    assert "'node_plugin' cannot be imported: ImportError: no such library" in line
    assert "install it on every node" in line
    assert all(trial.attempts == 0 for trial in read_trials(tmp_path / "run").values())
