"""Every node is told of: those with trials, idle ones, and those that get none, with the reason."""

from __future__ import annotations

from typing import Any

from cluster.resources import Share
from search.analysis.node_use import node_lines, node_uses
from search.engine.node_probe import Fitness
from search.engine.roll_call import RollCall
from trm.files.driver_note import DriverNote, now

NODES: list[dict[str, Any]] = [
    {"NodeID": f"id-{name}", "NodeManagerHostname": name, "Resources": {"CPU": cpus}}
    for name, cpus in (("a", 16.0), ("b", 16.0), ("c", 8.0), ("d", 1.0), ("e", 16.0), ("f", 16.0))
]


class Answers:
    """One that has answers for some nodes."""

    def __init__(self, **answers: Fitness) -> None:
        self.answers = answers

    def ask(self, node: str) -> str:
        return node

    def answer(self, asked: str) -> Fitness | None:
        return self.answers.get(asked.removeprefix("id-"))


def note(**told: Any) -> DriverNote:
    return DriverNote("t", "elsewhere", 7, "running", now(), now(), told=told)


def told(*able: str, **answers: Fitness) -> dict[str, Any]:
    roll = RollCall(Answers(**answers), Share(cpus=2), lambda: NODES)
    for node in NODES:
        roll.answer(roll.ask(node["NodeID"]))
    roll.able = lambda: [f"id-{name}" for name in able]
    return roll.facts()


def worker(trial: int, host: str, **use: Any) -> dict[str, Any]:
    where = {"host": host, "node": f"id-{host}", "pid": 100 + trial}
    return {"trial": trial, "attempt": 1, **where, **use}


def test_every_node_has_a_state() -> None:
    facts = told("a", "b", "f", c=Fitness("it lacks my_tasks"), d=Fitness())
    states = {node["host"]: (node["state"], node["why"]) for node in facts["nodes"]}
    assert states == {
        "a": ("able", ""),
        "b": ("able", ""),
        "c": ("unfit", "it lacks my_tasks"),
        "d": ("small", "it has less than a trial gets, 2 CPU cores and no GPUs"),
        "e": ("asked", ""),
        "f": ("able", ""),
    }


def test_where_nobody_is_asked_all_that_hold_a_trial_are_able() -> None:
    facts = RollCall(None, Share(cpus=2), lambda: NODES).facts()
    assert {node["state"] for node in facts["nodes"] if node["host"] != "d"} == {"able"}
    assert facts["nodes"][3]["state"] == "small"


def test_a_status_has_all_of_them() -> None:
    facts = told("a", "b", "f", c=Fitness("it lacks my_tasks"))
    workers = [worker(3, "a", cpu=1.5, memory=1 << 30), worker(4, "a"), worker(5, "f")]
    found = node_uses(note(**facts, workers=workers, bad_nodes=["id-b"]))
    assert [one.host for one in found] == ["a", "b", "c", "d", "e", "f"]
    assert node_lines(found) == [
        "node a: trials 3, 4; 1.5 of 16 cores, 1.0 GiB by the 1 that reported",
        "node f: trial 5; what it uses is known once it reports",
        "node b gets no trials: one fault after another",
        "node c gets no trials: it lacks my_tasks",
        "node d gets no trials: it has less than a trial gets, 2 CPU cores and no GPUs",
        "node e has yet to answer",
    ]


def test_what_a_process_of_several_trials_uses_counts_once() -> None:
    one = {"pid": 7, "cpu": 1.5, "memory": 1 << 30, "at": 5.0}
    workers = [
        worker(3, "a", **one), worker(4, "a", pid=7), worker(6, "a", cpu=0.5, memory=1 << 30),
        worker(5, "a", **{**one, "at": 9.0, "memory": 2 << 30}), worker(8, "a"),
    ]  # fmt: skip
    (line,) = node_lines(node_uses(note(workers=workers)))
    assert line == "node a: trials 3+4+5, 6, 8; 2.0 cores, 3.0 GiB by the 4 that reported"


def test_many_idle_nodes_are_one_line() -> None:
    nodes = [{"node": f"n{number}", "host": f"h{number}"} for number in range(20)]
    (line,) = node_lines(node_uses(note(nodes=nodes)))
    assert line.startswith("nodes h0, h1, ")
    assert line.endswith(" and 12 more are idle")


def test_a_note_that_is_odd_or_old_is_no_error() -> None:
    assert node_uses(note(nodes=3, workers=[worker(1, "a")], bad_nodes="x"))[0].trials == [1]
    assert node_uses(note(nodes=[7, {"host": "a"}])) == []
    assert node_uses(None) == []
