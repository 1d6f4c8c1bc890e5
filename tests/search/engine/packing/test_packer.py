"""The probe of fake GPUs: real processes of Ray, whose throughput and memory are synthetic."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from search.engine.job import Job
from search.engine.packing import packer
from search.engine.packing.copies import Copy
from search.engine.packing.packer import Packer, Subject, most_on
from search.engine.packing.packings import Packings, read_packings

FACTORY = "tests.support.packed_training:PackedTraining"
FOREVER = 1e18


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[dict[str, Any]]]:
    """A big node, another big one, a small one, and one without a GPU."""
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 16, "num_gpus": 2, "resources": {"big": 1}, "include_dashboard": False,
        },
    )  # fmt: skip
    try:
        cluster.add_node(num_cpus=4, num_gpus=1, resources={"big": 1})
        cluster.add_node(num_cpus=16, num_gpus=1, resources={"small": 1})
        cluster.add_node(num_cpus=4)
        ray.init(address=cluster.address, log_to_driver=False)
        cluster.wait_for_nodes()
        yield [node for node in ray.nodes() if node["Alive"]]
    finally:
        ray.shutdown()
        cluster.shutdown()


def subject(folder: Path, **more: Any) -> Subject:
    job = Job(str(folder), 0, 0, {}, 0, 1e12, (1.0,), path=(), factory=FACTORY)
    return Subject(**{"job": job, "others": (), "cpus": 1, "trials": 64, "flops": FOREVER} | more)


def found(own: Packer, nodes: list[dict[str, Any]], timeout: float = 120.0) -> dict[str, int]:
    """What it says of each node, once it knows."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        told = {node["NodeID"]: own.copies(node) for node in nodes}
        if None not in told.values():
            return {name: copies for name, copies in told.items() if copies is not None}
        time.sleep(0.1)
    raise AssertionError(told)


def kind(node: dict[str, Any]) -> str:
    return next((name for name in ("big", "small") if name in node["Resources"]), "none")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_each_class_is_measured_once_and_kept(nodes: list[dict[str, Any]], tmp_path: Path) -> None:
    lines: list[str] = []
    own = Packer(subject(tmp_path), Packings(tmp_path), lines.append, seconds=0.6)
    told = found(own, nodes)
    own.close()
    by_kind = sorted(
        (kind(node), int(node["Resources"]["CPU"]), told[node["NodeID"]]) for node in nodes
    )
    # Four cores for its one device hold four.
    assert by_kind == [("big", 4, 4), ("big", 16, 4), ("none", 4, 1), ("small", 16, 2)]
    kept = {one.name: one for one in read_packings(tmp_path)}
    assert sorted(kept) == ["big", "small"]
    assert len(lines) in (2, 3), lines
    small = kept["small"].packing
    assert small.why == "3 would take 12.0 of 10.0 GB"
    assert [one.copies for one in small.probes] == [1, 2]
    assert small.probes[1].rate == pytest.approx(40.0, rel=0.2)
    # On resume nothing is measured again.
    again = Packer(subject(tmp_path), Packings(tmp_path), lines.append, seconds=60.0, bound=30.0)
    begun = time.monotonic()
    assert found(again, nodes) == told
    assert time.monotonic() - begun < 30
    assert len(lines) in (2, 3), "nothing new"
    again.close()


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_short_sweep_is_not_measured_to_the_end(
    nodes: list[dict[str, Any]], tmp_path: Path
) -> None:
    small = [node for node in nodes if kind(node) == "small"]
    lines: list[str] = []
    # A FLOP a step, 20 steps/s, 4 GPUs: 10 s of training.
    own = Packer(subject(tmp_path, flops=800.0), Packings(tmp_path), lines.append, seconds=0.4)
    assert list(found(own, small).values()) == [1]
    own.close()
    assert "the sweep is too short" in lines[0]
    assert len(read_packings(tmp_path)[0].packing.probes) == 1


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_probe_that_fails_is_one_line(
    nodes: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = [node for node in nodes if kind(node) == "small"]
    broken = Job(str(tmp_path), 0, 0, {}, 0, 1e12, (1.0,), factory="no.such.module:Training")
    own = Packer(subject(tmp_path, job=broken), Packings(tmp_path), print, seconds=0.4)
    assert list(found(own, small).values()) == [1]
    own.close()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("could not be measured") == 1
    assert "cluster.gpus_per_trial" in said.err
    assert not read_packings(tmp_path), "the next start tries again"


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_probe_can_be_left(nodes: list[dict[str, Any]], tmp_path: Path) -> None:
    small = [node for node in nodes if kind(node) == "small"]
    own = Packer(subject(tmp_path), Packings(tmp_path), print, seconds=60.0, bound=120.0)
    assert own.copies(small[0]) is None
    time.sleep(1.0)
    begun = time.monotonic()
    own.close()
    assert time.monotonic() - begun < 5.0
    assert not read_packings(tmp_path)


def test_cores_and_trials_bound_what_is_tried() -> None:
    assert most_on({"CPU": 16.0, "GPU": 1.0}, 4, 64) == 4
    assert most_on({"CPU": 2.0, "GPU": 4.0}, 1, 64) == 0
    assert most_on({"CPU": 1000.0, "GPU": 1.0}, 1, 1000) == packer.MOST
    assert most_on({"CPU": 16.0, "GPU": 4.0}, 1, 4) == 1, "each trial has a device of its own"


def test_nothing_is_started_where_nothing_can_be_shared(tmp_path: Path) -> None:
    own = Packer(subject(tmp_path, trials=1), Packings(tmp_path), print)
    node = {"NodeID": "a", "Resources": {"CPU": 8.0, "GPU": 1.0}, "NodeManagerHostname": "a"}
    threads = threading.active_count()
    assert own.copies(node) == 1
    assert own.copies({**node, "NodeID": "b", "Resources": {"CPU": 8.0}}) == 1
    assert threading.active_count() == threads
    assert not read_packings(tmp_path)


def test_a_real_training_is_measured(tiny: Any, cache: Path, tmp_path: Path) -> None:
    tree = tiny()
    larger = tiny({"model.hidden_size": 32})
    job = Job(str(tmp_path), 0, 0, tree, 0, 1e9, (1.0,), cache=str(cache))
    flops = []
    for others in ([], [larger, tiny({"model.hidden_size": 7})]):
        copy = Copy(job.to_json(), others)
        assert copy.device() == ("", 0.0), "a CPU has no probe"
        copy.prepare()
        timed = copy.measure(0.2)
        assert timed.rate > 1.0
        assert timed.used.peak == 0.0
        flops.append(timed.flops)
    assert flops[1] > 2 * flops[0], "the largest config is what is measured"
