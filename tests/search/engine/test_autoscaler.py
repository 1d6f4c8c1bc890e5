"""An autoscaler that starts with no worker is asked for as many as there are trials for."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.connect import Cluster
from cluster.demand import MOST, Demand
from search.ledger.reader import read_book
from tests.support.autoscaled import autoscaled
from tests.support.on_nodes import Sweep


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_nodes_come_for_the_trials_that_wait(version: str, tmp_path: Path) -> None:
    with autoscaled(version, cpus=1, most=3) as address:
        sweep = Sweep(tmp_path / "run", address, [{"sleep": 2.0}] * 6)
        sweep.until("resized", resized=2, seconds=120)
        assert sweep.wait(200) == 0, sweep.errors
    assert sum("waits for the autoscaler to bring one" in line for line in sweep.errors) == 1
    assert sum("set cluster.gpus_per_trial if" in line for line in sweep.errors) == 1
    book = read_book(tmp_path / "run")
    assert {trial.outcome for trial in book.trials.values()} == {"completed"}
    assert not book.attempts
    assert len({trial.provenance["node"] for trial in book.trials.values()}) >= 2


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_more_nodes_are_asked_for_than_parallel_says(tmp_path: Path) -> None:
    with autoscaled("v2", cpus=1, most=3) as address:
        sweep = Sweep(tmp_path / "run", address, [{"sleep": 2.0}] * 3, parallel=1)
        assert sweep.wait(200) == 0, sweep.errors
    assert {line["resized"] for line in sweep.said("resized")} == {0, 1}
    nodes = {trial.provenance["node"] for trial in read_book(tmp_path / "run").trials.values()}
    assert len(nodes) == 1


def test_a_demand_waits_until_it_is_taken_back(ray_cluster: Cluster) -> None:
    demand = Demand({"CPU": 99.0})
    for wanted, waits in ((3, 3), (1, 1), (10**6, MOST), (0, 0), (-5, 0)):
        demand.want(wanted, barred=["0" * 56])
        assert len(demand._waiting) == waits
