"""Nodes that come and go under a sweep: joiners are used, and what was lost is next."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from search.ledger.reader import read_book
from tests.support.on_nodes import Sweep, nodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_a_node_that_joins_is_used_though_none_died(tmp_path: Path) -> None:
    with nodes({"num_cpus": 1}) as cluster:
        sweep = Sweep(tmp_path / "run", cluster.address, [{"sleep": 1.5}] * 8)
        sweep.until("resized", resized=1)
        sweep.until("started", started=0)
        cluster.add_node(num_cpus=2)
        joined = sweep.lines[-1]["at"]
        assert sweep.until("resized", resized=3)["at"] - joined < 30
        used = sweep.until("started", started=2)["at"]
        assert used - joined < 30
        assert sweep.wait() == 0, sweep.errors
    book = read_book(tmp_path / "run")
    assert {trial.outcome for trial in book.trials.values()} == {"completed"}
    assert not book.attempts
    on = Counter(trial.provenance["node"] for trial in book.trials.values())
    assert len(on) == 2
    assert min(on.values()) >= 2, on


def test_a_trial_that_lost_its_node_is_next_though_there_is_less_room(tmp_path: Path) -> None:
    with nodes({"num_cpus": 1}) as cluster:
        other = cluster.add_node(num_cpus=2)
        sweep = Sweep(tmp_path / "run", cluster.address, [{"sleep": 3.0}] * 5)
        sweep.until("resized", resized=3)
        for trial in range(3):
            sweep.until("reported", reported=trial)
        cluster.remove_node(other, allow_graceful=False)
        sweep.until("resized", resized=1)
        assert sweep.wait() == 0, sweep.errors
    book = read_book(tmp_path / "run")
    assert {trial.outcome for trial in book.trials.values()} == {"completed"}
    lost = list(book.attempts)
    assert len(lost) == 2
    # What Ray hears of first, the end of the worker or of its node, is a matter of luck.
    assert {attempt.cause for (attempt,) in book.attempts.values()} <= {"node", "worker"}
    begun = [line["started"] for line in sweep.said("started")]
    assert sorted(begun[3:5]) == sorted(lost), "both were lost together, and no other went first"
    assert begun[5:] == [3, 4]


@pytest.mark.parametrize("before", [False, True], ids=["later", "before-the-loss-is-known"])
def test_a_sweep_waits_for_a_node_when_none_is_left(before: bool, tmp_path: Path) -> None:
    with nodes() as cluster:
        only = cluster.add_node(num_cpus=1)
        sweep = Sweep(tmp_path / "run", cluster.address, [{"sleep": 1.0}] * 2)
        sweep.until("reported", reported=0)
        cluster.remove_node(only, allow_graceful=False)
        while not before and not any("no node is left" in line for line in list(sweep.errors)):
            assert sweep.process.poll() is None, sweep.errors
            time.sleep(0.1)
        cluster.add_node(num_cpus=1)
        assert sweep.wait(100) == 0, sweep.errors
    if not before:
        assert sum("no node is left" in line for line in sweep.errors) == 1
        assert sum("the sweep goes on" in line for line in sweep.errors) == 1
    begun = [(line["started"], line["attempt"]) for line in sweep.said("started")]
    assert begun == [(0, 1), (0, 2), (1, 1)]
