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

from cluster.packing import Probed, pack
from search.engine.job import Job
from search.engine.packing import packer
from search.engine.packing.copies import Copy, Timed, Used
from search.engine.packing.packer import Packer, ProbeLevels, Subject, most_on, subject_of
from search.engine.packing.packings import Packings, read_packings
from search.ledger.ledger import Ledger
from tests.conftest import Tiny
from tests.support.planned import planned

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


class FakeCrew:
    """Copies that take some time, or fail."""

    def __init__(self, *, takes: float = 0.0, fails: dict[int, Exception] | None = None) -> None:
        self.takes = takes
        self.fails = fails or {}
        self.asked: list[int] = []

    def measure(self, copies: int, seconds: float, timeout: float) -> list[Timed]:
        self.asked.append(copies)
        time.sleep(self.takes)
        if copies in self.fails:
            raise self.fails[copies]
        used = Used(peak=3e9, now=2e9, device=2e9 * copies + 1e9)
        return [Timed(10.0, 1e9, used)] * copies


def levels(crew: FakeCrew, *, bound: float = 60.0, flops: float = FOREVER) -> ProbeLevels:
    return ProbeLevels(crew, time.monotonic(), 0.0, bound, flops)


def test_what_all_copies_take_and_what_else_is_there_is_counted() -> None:
    assert levels(FakeCrew()).measure(3) == Probed(3, 30.0, 3 * 3e9 + 1e9)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "2 ran out of memory"),
        (ray.exceptions.OutOfMemoryError("killed"), "2 ran out of memory"),
        (ray.exceptions.GetTimeoutError("late"), "2 took longer than 60 s to measure"),
        (OSError("copies were placed on several devices"), "2 failed: OSError: copies were"),
    ],
)
def test_a_number_that_fails_is_said_and_is_the_last(error: Exception, words: str) -> None:
    if isinstance(error, RuntimeError) and not isinstance(error, ray.exceptions.RayError):
        error = ray.exceptions.RayTaskError("measure", "", error).as_instanceof_cause()
    own = levels(FakeCrew(fails={2: error}))
    found = pack(own.measure, memory=140e9)
    assert found.copies == 1
    assert found.why.startswith(words)


def test_one_copy_that_fails_is_no_measurement() -> None:
    error = ray.exceptions.RayActorError()
    with pytest.raises(ray.exceptions.RayActorError):
        levels(FakeCrew(fails={1: error})).measure(1)
    assert levels(FakeCrew(fails={1: ray.exceptions.OutOfMemoryError("x")})).measure(1) == (
        "1 ran out of memory"
    )


def test_a_probe_ends_within_its_time() -> None:
    crew = FakeCrew(takes=0.2)
    found = pack(levels(crew, bound=0.5).measure, memory=1e15)
    assert crew.asked in ([1, 2], [1]), "a third would end after the bound"
    assert "to measure" in found.why


def test_a_probe_takes_no_more_than_a_twentieth_of_the_sweep() -> None:
    # Four numbers of copies at .1 s each; a device trains 1e10 FLOPs a second.
    long = pack(levels(FakeCrew(takes=0.1), flops=1e12).measure, memory=1e12, most=4)
    assert len(long.probes) == 4
    crew = FakeCrew(takes=0.1)
    short = pack(levels(crew, flops=5e10).measure, memory=1e12, most=4)
    assert crew.asked == [1]
    assert "the sweep is too short to measure more (at most 5 s of training" in short.why


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


def test_a_sweep_says_what_is_to_be_measured(tiny: Tiny, tmp_path: Path) -> None:
    tree = tiny({"search.trials": 12, "stability.candidates": 2, "stability.seeds": 2})
    tree["optimizer"]["lr"] = {"loguniform": [1e-3, 1e-2]}
    plan = planned(tree)
    with Ledger.create(tmp_path / "run") as ledger:
        more = {"cpus": 1.0, "path": ["/somewhere"], "factory": None}
        own = subject_of(plan, ledger, parallel=None, **more)
        assert own.trials == 12
        # Twelve explored, six in the race of two, three and three more for the promise.
        assert own.flops == pytest.approx(24 * plan.budget)
        assert own.job.config == plan.default_tree
        assert Job.from_json(own.job.to_json()) == own.job
        assert len({one["optimizer"]["lr"] for one in own.others}) > 10
        assert subject_of(plan, ledger, parallel=3, **more).trials == 3


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
        assert timed.used.device == 0.0
        flops.append(timed.flops)
    assert flops[1] > 2 * flops[0], "the largest config is what is measured"
