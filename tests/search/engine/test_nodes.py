"""Which nodes count, in plain Python: a cluster and a clock that the test moves."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.resources import Share
from search.engine.node_probe import Fitness
from search.engine.nodes import ANSWER_SECONDS, GATHER_SECONDS, LOOK_SECONDS, SILENT_SECONDS, Nodes
from trm.errors import UserError


class Fake:
    """A cluster: nodes by name, what each answers, and the time."""

    def __init__(self, **nodes: dict[str, float]) -> None:
        self.up = nodes
        self.answers: dict[str, Fitness] = {}
        self.asked: list[str] = []
        self.time = 100.0

    def alive(self) -> list[dict[str, Any]]:
        return [
            {"NodeID": name, "Resources": resources, "NodeManagerHostname": f"host-{name}",
             "NodeManagerAddress": "10.0.0.1"}
            for name, resources in self.up.items()
        ]  # fmt: skip

    def ask(self, node: str) -> str:
        self.asked.append(node)
        return node

    def answer(self, asked: str) -> Fitness | None:
        return self.answers.get(asked)

    def nodes(self, share: Share, **more: Any) -> Nodes:
        return Nodes(share, self, alive=self.alive, now=lambda: self.time, sleep=self.later, **more)

    def later(self, seconds: float = LOOK_SECONDS) -> None:
        self.time += seconds


def test_a_node_counts_once_it_has_answered(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake(a={"CPU": 3.0}, b={"CPU": 4.0})
    nodes = fake.nodes(Share(cpus=2))
    assert nodes.room() == 0
    assert (nodes.able(), nodes.barred(), nodes.coming()) == ([], [], 3)
    fake.answers["a"] = Fitness()
    assert nodes.able() == [], "it is not looked at all the time"
    fake.later()
    assert nodes.room() == 0, "the other one has a moment, as Ray might take it for the first trial"
    fake.later(GATHER_SECONDS)
    assert nodes.room() == 1
    fake.answers["b"] = Fitness(refusal="it has Python 3.9, the driver 3.11: install it")
    fake.later()
    assert nodes.room() == 1
    assert (nodes.able(), nodes.barred()) == (["a"], ["b"])
    assert [nodes.allows(name) for name in "ab"] == [True, False]
    fake.later()
    nodes.room()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "node host-b (10.0.0.1): it has Python 3.9, the driver 3.11: install it; it gets no" in (
        said
    )
    assert fake.asked == ["a", "b"], "each once"


def test_a_joiner_is_asked_and_then_counts(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake(a={"CPU": 1.0})
    fake.answers = {"a": Fitness(), "b": Fitness(note="has other code of plug-ins: mine")}
    nodes = fake.nodes(Share())
    assert nodes.room() == 1
    fake.up["b"] = {"CPU": 2.0}
    del fake.answers["b"]
    before = fake.time
    assert not nodes.allows("b"), "a worker that is there before anybody looked"
    assert ANSWER_SECONDS <= fake.time - before < ANSWER_SECONDS + 1
    fake.answers["b"] = Fitness(note="has other code of plug-ins: mine")
    fake.later()
    assert nodes.room() == 3
    assert nodes.room(without=["b"]) == 1
    assert nodes.allows("b")
    del fake.up["a"]
    fake.later()
    assert (nodes.room(), nodes.able()) == (2, ["b"])
    assert [nodes.gone(name) for name in ("a", "b", "")] == [True, False, False]
    assert "node host-b (10.0.0.1) has other code of plug-ins: mine" in capsys.readouterr().err


def test_when_every_node_refuses_nothing_begins() -> None:
    fake = Fake(head={"object_store_memory": 1e9}, a={"CPU": 1.0}, b={"CPU": 1.0})
    fake.answers["a"] = Fitness(refusal="the run folder /r is not there: share it")
    nodes = fake.nodes(Share())
    assert nodes.room() == 0, "the other may still answer"
    fake.answers["b"] = Fitness(refusal="it lacks this package: install it")
    fake.later()
    with pytest.raises(UserError, match=r"node host-a \(10.0.0.1\): the run folder /r is not ther"):
        nodes.room()


def test_a_share_that_no_node_holds() -> None:
    fake = Fake(a={"CPU": 2.0}, b={"CPU": 8.0})
    with pytest.raises(UserError, match=r"cluster.gpus_per_trial: 0.5 is more than a node has: "
                       r"the largest of 2 has 8 CPU cores and no GPUs: lower it"):  # fmt: skip
        fake.nodes(Share(gpus=0.5)).room()
    with pytest.raises(UserError, match=r"cluster.cpus_per_trial: 9 .* 8 CPU cores .*train.thr"):
        fake.nodes(Share(cpus=9)).room()
    fake.up["c"] = {"CPU": 2.0, "GPU": 1.0}
    # Cores and a GPU, but not on one node.
    with pytest.raises(UserError, match=r"gpus_per_trial: 1.0 .* has 2 CPU cores and 1 GPU: "):
        fake.nodes(Share(cpus=4, gpus=1.0)).room()


def test_a_cluster_has_time_to_gather(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake(head={})
    fake.answers = {"a": Fitness()}
    nodes = fake.nodes(Share(gpus=1.0), patience=20.0)
    for _ in range(3):
        assert nodes.room() == 0
        fake.later()
    said = capsys.readouterr().err
    assert said == (
        "trm: warning: no node has 1 CPU core and 1 GPU for a trial: waits for one to join\n"
    )
    fake.up["a"] = {"CPU": 1.0, "GPU": 1.0}
    fake.later(20.0)
    assert nodes.room() == 1
    del fake.up["a"]
    for _ in range(2):
        fake.later(30.0)
        assert nodes.room() == 0, "it has been there: another may come"
    fake.up["a2"] = {"CPU": 2.0, "GPU": 1.0}
    fake.answers["a2"] = Fitness()
    fake.later()
    assert nodes.room() == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "no node is left" in lines[0]
    assert "the sweep goes on" in lines[1]
    awaiting = Fake(head={}).nodes(Share(), scales=lambda: True)
    assert awaiting.room() == 0
    assert "has 1 CPU core and no GPUs for a trial: waits for the autoscaler" in (
        capsys.readouterr().err
    )
    alone = Fake(head={})
    nodes = alone.nodes(Share(), patience=20.0)
    assert nodes.room() == 0
    alone.later(20.0)
    with pytest.raises(UserError, match="the largest of 1 has no CPU cores and no GPUs"):
        nodes.room()


def test_a_silent_node_is_spoken_of_once(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake(a={"CPU": 1.0}, b={"CPU": 1.0})
    fake.answers["a"] = Fitness()
    nodes = fake.nodes(Share())
    nodes.room()
    for _ in range(3):
        fake.later(SILENT_SECONDS)
        assert nodes.room() == 1
    assert capsys.readouterr().err.count("node host-b (10.0.0.1) has not answered for 60 s") == 1
    fake.answers["b"] = Fitness()
    fake.later()
    assert nodes.room() == 2


def test_without_a_prober_every_node_counts() -> None:
    fake = Fake(a={"CPU": 2.0})
    nodes = Nodes(Share(), alive=fake.alive, now=lambda: fake.time)
    assert (nodes.room(), nodes.able(), nodes.barred()) == (2, ["a"], [])


class Packer:
    """Knows of some nodes how many trials share a GPU there."""

    def __init__(self) -> None:
        self.found: dict[str, int] = {}

    def copies(self, node: Any) -> int | None:
        return self.found.get(node["NodeID"])


def test_a_node_counts_once_it_is_known_how_many_share_its_gpus() -> None:
    fake, packer = Fake(a={"CPU": 8.0, "GPU": 2.0}, b={"CPU": 16.0, "GPU": 1.0}), Packer()
    fake.answers = {"a": Fitness(), "b": Fitness()}
    nodes = fake.nodes(Share(gpus=1.0), packer=packer)
    assert nodes.room() == 0
    assert nodes.barred() == ["a", "b"], "no trial gets a share that is not known yet"
    packer.found["a"] = 1
    fake.later()
    assert nodes.room() == 2, "others do not wait for it"
    packer.found["b"] = 6
    fake.later()
    assert nodes.room() == 8
    groups = nodes.groups()
    assert {gpus: (one.nodes, one.room) for gpus, one in groups.items()} == {
        1.0: (("a",), 2),
        0.1666: (("b",), 6),
    }
    assert nodes.packed() == 8 / 3
    assert nodes.share().gpus == pytest.approx(3 / 8, abs=1e-3), "three devices, eight trials"
    assert nodes.share().cpus == 1


def test_parts_that_the_file_says_are_a_group_too() -> None:
    fake = Fake(a={"CPU": 8.0, "GPU": 1.0}, b={"CPU": 8.0})
    nodes = Nodes(Share(gpus=0.5), alive=fake.alive, now=lambda: fake.time)
    assert nodes.room() == 2
    assert list(nodes.groups()) == [0.5]
    assert nodes.packed() == 1.0
    without = Nodes(Share(), alive=fake.alive, now=lambda: fake.time)
    assert without.room() == 16
    assert not without.groups()
    assert without.share() == Share()


def test_a_node_that_refuses_is_not_measured() -> None:
    fake, packer = Fake(a={"CPU": 8.0, "GPU": 1.0}, b={"CPU": 8.0, "GPU": 1.0}), Packer()
    packer.found = {"b": 2}
    fake.answers = {"a": Fitness(refusal="it lacks the run folder"), "b": Fitness()}
    nodes = fake.nodes(Share(gpus=1.0), packer=packer)
    assert nodes.room() == 2
    assert (nodes.able(), nodes.barred()) == (["b"], ["a"])


def test_gpus_of_joiners_are_given_out_though_the_sweep_began_without() -> None:
    fake, packer = Fake(a={"CPU": 2.0}), Packer()
    packer.found = {"a": 1, "b": 1}
    fake.answers = {name: Fitness() for name in "abc"}
    nodes = fake.nodes(Share(), packer=packer, own_gpus=True)
    assert nodes.room() == 2
    assert {gpus: one.nodes for gpus, one in nodes.groups().items()} == {0.0: ("a",)}
    assert nodes.share() == Share()
    fake.up["b"] = {"CPU": 8.0, "GPU": 2.0}
    fake.up["c"] = {"CPU": 8.0, "GPU": 1.0}
    fake.later()
    assert nodes.room() == 2 + 2
    assert nodes.barred() == ["c"], "it is not known yet how many share its GPU"
    packer.found["c"] = 4
    fake.later()
    assert nodes.room() == 2 + 2 + 4
    assert {gpus: (one.nodes, one.room) for gpus, one in nodes.groups().items()} == {
        0.0: (("a",), 2),
        1.0: (("b",), 2),
        0.25: (("c",), 4),
    }
    assert nodes.packed() == 1.0
    assert nodes.share().gpus == 3 / 8
    # Where it is said that trials have none, they have none.
    said = fake.nodes(Share())
    assert said.room() == 2 + 8 + 8
    assert not said.groups()
