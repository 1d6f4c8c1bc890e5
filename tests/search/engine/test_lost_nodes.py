"""A node that many trials run on is lost, and none is left: the sweep waits for the next one."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.ledger.reader import read_book
from tests.support.on_nodes import Sweep, nodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_all_workers_of_the_only_node_end_with_it(tmp_path: Path) -> None:
    with nodes() as cluster:
        only = cluster.add_node(num_cpus=6)
        sweep = Sweep(tmp_path / "run", cluster.address, [{"sleep": 1.0}] * 6)
        for trial in range(6):
            sweep.until("reported", reported=trial)
        cluster.remove_node(only, allow_graceful=False)
        cluster.add_node(num_cpus=6)
        assert sweep.wait() == 0, sweep.errors
    book = read_book(tmp_path / "run")
    assert {trial.outcome for trial in book.trials.values()} == {"completed"}
    assert not any("faults in a row" in line for line in sweep.errors)
