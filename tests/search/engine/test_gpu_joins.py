"""A node with a GPU joins a sweep that began without: its GPU is given out, in parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.engine.packing.packings import read_packings
from search.ledger.reader import read_book
from tests.support.on_nodes import Sweep, nodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FACTORY = "tests.support.packed_training:PackedTraining"


def test_a_gpu_that_joins_is_shared_as_is_measured_and_cpus_go_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with nodes({"num_cpus": 1, "resources": {"plain": 1}}) as cluster:
        sweep = Sweep(run, cluster.address, [{"sleep": 1.5}] * 16, factory=FACTORY)
        sweep.until("reported", reported=0)
        cluster.add_node(num_cpus=6, num_gpus=1, resources={"small": 1})
        # Two share the GPU, and nothing runs there without a part of it.
        sweep.until("resized", resized=3)
        assert sweep.wait() == 0, sweep.errors
    book = read_book(run)
    assert {trial.outcome for trial in book.trials.values()} == {"completed"}
    assert {one.cause for many in book.attempts.values() for one in many} <= {"node", "machine"}
    assert {one.name: one.packing.copies for one in read_packings(run)} == {"small": 2}
    had = [line.split(maxsplit=3) for line in (run / "shares.txt").read_text().splitlines()]
    on_joiner = [(gpus, ids) for _, gpus, kind, ids in had if kind == "small"]
    elsewhere = [(gpus, ids) for _, gpus, kind, ids in had if kind != "small"]
    assert set(on_joiner) == {("0.5", "[0]")}
    assert set(elsewhere) == {("0.0", "[]")}
    assert len(elsewhere) > 1, "the node without a GPU goes on"
    assert max(line["resized"] for line in sweep.said("resized")) == 3
