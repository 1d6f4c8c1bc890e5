"""The same sweep on a Ray cluster that is already up: two nodes, both on this machine."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.ledger import read_trials

RAY = str(Path(sys.executable).with_name("ray"))
TRM = str(Path(sys.executable).with_name("trm"))


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Two raylets with a core each, started from the command line as a user would."""
    quiet = {"capture_output": True, "text": True, "check": True, "timeout": 120}
    head = [RAY, "start", "--head", "--port=26379", "--num-cpus=1", "--include-dashboard=false",
            "--disable-usage-stats", f"--temp-dir=/tmp/trm2-{tmp_path.stat().st_ino}"]  # fmt: skip
    subprocess.run([RAY, "stop", "--force"], **quiet)
    try:
        subprocess.run(head, **quiet)
        join = [RAY, "start", "--address=127.0.0.1:26379", "--num-cpus=1", "--disable-usage-stats"]
        subprocess.run(join, **quiet)
        yield "127.0.0.1:26379"
    finally:
        subprocess.run([RAY, "stop", "--force"], **quiet)


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
    status = subprocess.run([RAY, "status", "--address", address], capture_output=True, text=True)
    assert status.returncode == 0, status.stderr
