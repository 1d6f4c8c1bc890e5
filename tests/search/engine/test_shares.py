"""What a trial gets and how many run at once, on nodes that differ; their GPUs are pretended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

import pytest

from search.ledger.reader import read_book
from tests.support.on_nodes import Sweep, nodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def most_at_once(sweep: Sweep, of: Collection[int] | None = None) -> int:
    """How many trials ran at a time: of these, or of all."""
    running, most = 0, 0
    for line in sweep.lines:
        trial = line.get("started", line.get("ended"))
        if trial is not None and (of is None or trial in of):
            running += 1 if "started" in line else -1
            most = max(most, running)
    return most


def test_gpus_of_the_workers_are_used_under_a_head_that_has_none(tmp_path: Path) -> None:
    small, large = {"num_cpus": 3, "num_gpus": 1}, {"num_cpus": 3, "num_gpus": 2}
    with nodes(small, large, {"num_cpus": 2}, head={"num_cpus": 2}) as cluster:
        whole = Sweep(tmp_path / "whole", cluster.address, [{"sleep": 0.5}] * 6)
        assert whole.wait() == 0, whole.errors
        # Half a GPU: two on one, and of two GPUs four, but the node has three cores.
        half = Sweep(tmp_path / "half", cluster.address, [{"sleep": 1.0}] * 10, gpus_per_trial=0.5)
        assert half.wait() == 0, half.errors
    assert {line["gpus"] for line in whole.said("resized")} == {1.0}
    assert max(line["resized"] for line in whole.said("resized")) == 3
    assert most_at_once(whole) == 3
    assert max(line["resized"] for line in half.said("resized")) == 5
    assert most_at_once(half) == 5
    for sweep, most in ((whole, [1, 2]), (half, [2, 3])):
        trials = read_book(sweep.folder).trials.values()
        assert {trial.outcome for trial in trials} == {"completed"}
        seen: dict[str, set[str]] = defaultdict(set)
        ran: dict[str, set[int]] = defaultdict(set)
        for trial in trials:
            seen[trial.provenance["node"]].add(trial.provenance["gpus"])
            ran[trial.provenance["node"]].add(trial.id)
        assert sorted(map(sorted, seen.values())) == [["0"], ["0", "1"]], "nothing ran without"
        assert sorted(most_at_once(sweep, ids) for ids in ran.values()) == most


def test_cores_of_several_nodes_are_not_added_up(tmp_path: Path) -> None:
    with nodes(*[{"num_cpus": 3}] * 2) as cluster:
        sweep = Sweep(tmp_path / "run", cluster.address, [{"sleep": 0.5}] * 5, cpus_per_trial=2)
        assert sweep.wait() == 0, sweep.errors
        assert {line["resized"] for line in sweep.said("resized")} <= {0, 1, 2}
        assert most_at_once(sweep) == 2
        bounded = Sweep(tmp_path / "one", cluster.address, [{}] * 3, parallel=1)
        assert bounded.wait() == 0, bounded.errors
        assert most_at_once(bounded) == 1


def test_a_share_that_no_node_holds_is_an_error_before_the_first_trial(tmp_path: Path) -> None:
    with nodes({"num_cpus": 2}) as cluster:
        sweep = Sweep(tmp_path / "run", cluster.address, [{}], gpus_per_trial=0.5)
        assert sweep.wait() != 0
    waits, error = (line for line in sweep.errors if line.startswith("trm: "))
    assert "no node has 1 CPU core and 0.5 GPUs for a trial: waits for one to join" in waits
    assert error.startswith("trm: error: cluster.gpus_per_trial: 0.5 is more than a node has: ")
    assert "2 CPU cores and no GPUs" in error
    assert all(trial.attempts == 0 for trial in read_book(tmp_path / "run").trials.values())
