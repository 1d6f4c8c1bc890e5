"""The same sweep on a Ray cluster that is already up: two nodes, both on this machine."""

from __future__ import annotations

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
