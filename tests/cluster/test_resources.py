from __future__ import annotations

import os
from pathlib import Path

from cluster.resources import (
    Share,
    _quota,
    cores,
    room,
    shared,
    worker_environment,
)


def test_a_node_holds_whole_trials() -> None:
    assert room({"CPU": 7.0}, Share(cpus=2)) == 3
    assert room({"CPU": 16.0, "GPU": 1.0}, Share(cpus=1, gpus=0.2)) == 5
    assert room({"CPU": 2.0, "GPU": 8.0}, Share(cpus=1, gpus=1)) == 2
    assert room({"CPU": 16.0, "GPU": 8.0}, Share(cpus=1, gpus=3)) == 2
    assert room({"CPU": 1.0}, Share(cpus=4)) == 0
    assert room({}, Share(cpus=1)) == room({"GPU": 4.0}, Share(cpus=1)) == 0
    assert room({"CPU": 8.0}, Share(cpus=1, gpus=0.5)) == 0


def test_nodes_are_not_added_up() -> None:
    nodes = [{"CPU": 3.0}] * 3
    assert sum(room(node, Share(cpus=2)) for node in nodes) == 3
    unequal = [{"CPU": 2.0}, {"CPU": 8.0, "GPU": 1.0}, {"CPU": 3.0, "GPU": 4.0}]
    assert [room(node, Share(cpus=1)) for node in unequal] == [2, 8, 3]
    assert [room(node, Share(cpus=1, gpus=0.25)) for node in unequal] == [0, 4, 3]
    # Parts of a GPU are of one: the rest of two GPUs is no third share.
    assert room({"CPU": 8.0, "GPU": 2.0}, Share(cpus=1, gpus=0.6)) == 2
    assert room({"CPU": 99.0, "GPU": 3.0}, Share(cpus=1, gpus=1 / 3)) == 9


def test_cores_are_within_affinity_and_quota(tmp_path: Path) -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
    file = tmp_path / "cpu.max"
    file.write_text("250000 100000\n")
    assert _quota(file) == 2
    file.write_text("max 100000\n")
    assert _quota(file) > 1000
    assert _quota(tmp_path / "absent") > 1000


def test_workers_get_their_share_of_threads() -> None:
    assert worker_environment(Share(cpus=3))["OMP_NUM_THREADS"] == "3"
    assert Share(cpus=2).request() == {"CPU": 2}
    assert Share(gpus=0.5).request() == {"CPU": 1.0, "GPU": 0.5}


def test_trials_that_share_cores_fit_all_at_once() -> None:
    for parallel in (3, 7, 64, 999):
        share = shared(Share(cpus=1), parallel, cores=2)
        assert parallel * share.request()["CPU"] <= 2
        assert room({"CPU": 2.0}, share) >= parallel
    assert shared(Share(cpus=2, gpus=0.5), 4, cores=8) == Share(cpus=2, gpus=0.5)
