"""The nodes of a driver at work: which trials run there, what they use, and who gets none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trm.files.driver_note import DriverNote

_NAMED = 8
"""Nodes of a line that are named."""
_WORDS = {
    "able": ("is idle", "are idle"),
    "asked": ("has yet to answer", "have yet to answer"),
    "unfit": ("gets no trials", "get no trials"),
    "small": ("gets no trials", "get no trials"),
    "bad": ("gets no trials", "get no trials"),
}


@dataclass(frozen=True)
class NodeUse:
    """What the trials of a node use of it, as they said with their last reports.

    Attributes:
        host: its name.
        trials: that run there.
        cpu: cores, on average since the reports before.
        memory: bytes of all workers together.
        gpu_memory: bytes that they hold of GPUs together; None without CUDA.
        gpu_total: bytes of a GPU there.
        gpu: the share of time that the GPU is busy, where its driver says so.
        said: of its trials, how many have said what they use; None is all.
        cores: that it has for trials; 0 if that is not known.
        gpus: that it has.
        state: `able` to run trials, `asked` whether it is, `unfit`, too `small`, or `bad`: it had
            one fault after another.
        why: it gets no trials, in words.
        stacks: trials that one process trains as one model.
    """

    host: str
    trials: list[int]
    cpu: float = 0.0
    memory: int = 0
    gpu_memory: int | None = None
    gpu_total: int | None = None
    gpu: float | None = None
    said: int | None = None
    cores: float = 0.0
    gpus: float = 0.0
    state: str = "able"
    why: str = ""
    stacks: tuple[tuple[int, ...], ...] = ()

    def text(self) -> str:
        """Of a node with trials, in a line; `+` is between those of one process.

        >>> NodeUse("a", [3, 4], 1.9, 2 << 30, 5 << 30, 80 << 30, 0.5).text()
        'node a: trials 3, 4; 1.9 cores, 2.0 GiB; GPU memory 5.0 of 80.0 GiB, busy 50%'
        >>> NodeUse("a", [3, 4], said=0).text()
        'node a: trials 3, 4; what they use is known once they report'
        >>> NodeUse("a", [3, 4, 5, 7], 1.9, 2 << 30, stacks=((3, 4, 5),)).text()
        'node a: trials 3+4+5, 7; 1.9 cores, 2.0 GiB'
        """
        many = "trial" if len(self.trials) == 1 else "trials"
        line = f"node {self.host}: {many} {', '.join(self._named())}; "
        if self.said == 0:
            return f"{line}what {'it uses' if len(self.trials) == 1 else 'they use'} is known " + (
                f"once {'it reports' if len(self.trials) == 1 else 'they report'}"
            )
        of = f" of {self.cores:g}" if self.cores else ""
        line += f"{self.cpu:.1f}{of} cores, {_gib(self.memory)} GiB"
        if self.said is not None and self.said < len(self.trials):
            line += f" by the {self.said} that reported"
        if self.gpu_memory is not None:
            line += f"; GPU memory {_gib(self.gpu_memory)} of {_gib(self.gpu_total or 0)} GiB"
        if self.gpu is not None:
            line += f", busy {self.gpu:.0%}"
        return line

    def _named(self) -> list[str]:
        of = {trial: stack for stack in self.stacks for trial in stack}
        groups = dict.fromkeys(of.get(trial, (trial,)) for trial in self.trials)
        return ["+".join(map(str, group)) for group in groups]


def node_uses(note: DriverNote | None) -> list[NodeUse]:
    """Every node of a driver at work, and what its workers use."""
    if note is None or not note.lives:
        return []
    workers: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for worker in workers_of(note):
        key = str(worker.get("host", "")), str(worker.get("node", ""))
        workers.setdefault(key, []).append(worker)
    bad = note.told.get("bad_nodes")
    found = []
    for node in _told(note):
        key = str(node.get("host", "")), str(node["node"])
        state, why = str(node.get("state", "able")), str(node.get("why", ""))
        if isinstance(bad, list) and node["node"] in bad:
            state, why = "bad", "one fault after another"
        facts = {"cores": node.get("cores", 0.0), "gpus": node.get("gpus", 0.0)}
        found.append(_use(key[0], workers.pop(key, []), state=state, why=why, **facts))
    # Of an older driver, or on a node that has just gone.
    found += [_use(host, mine) for (host, _), mine in workers.items()]
    return sorted(found, key=lambda one: one.host)


def node_lines(nodes: Sequence[NodeUse]) -> list[str]:
    """For a person: a line for each node with trials, and one for all others that are alike."""
    lines = [one.text() for one in nodes if one.trials]
    others: dict[tuple[str, str], list[str]] = {}
    for one in nodes:
        if not one.trials:
            others.setdefault((one.state, one.why), []).append(one.host)
    for (state, why), hosts in others.items():
        more = f" and {len(hosts) - _NAMED} more" if len(hosts) > _NAMED else ""
        names = f"{', '.join(hosts[:_NAMED])}{more}"
        words = _WORDS.get(state, _WORDS["able"])[len(hosts) > 1]
        many = "nodes" if len(hosts) > 1 else "node"
        lines.append(f"{many} {names} {words}{f': {why}' if why else ''}")
    return lines


def workers_of(note: DriverNote) -> Sequence[Mapping[str, Any]]:
    """What a driver says of its workers."""
    found = note.told.get("workers", [])
    if not isinstance(found, list):
        return []
    return [one for one in found if isinstance(one, dict) and isinstance(one.get("trial"), int)]


def _told(note: DriverNote) -> Sequence[Mapping[str, Any]]:
    found = note.told.get("nodes", [])
    if not isinstance(found, list):
        return []
    return [one for one in found if isinstance(one, dict) and "node" in one]


def _use(host: str, every: Sequence[Mapping[str, Any]], **more: Any) -> NodeUse:
    processes: dict[Any, list[Mapping[str, Any]]] = {}
    for worker in every:
        processes.setdefault(worker.get("pid", worker["trial"]), []).append(worker)
    # One of several trials says what their process uses.
    newest = [
        max(its, key=lambda one: ("cpu" in one, one.get("at", 0.0))) for its in processes.values()
    ]
    mine = [one for one in newest if "cpu" in one]
    together = [tuple(sorted(int(one["trial"]) for one in its)) for its in processes.values()]
    return NodeUse(
        host=host,
        trials=sorted(int(worker["trial"]) for worker in every),
        cpu=round(sum(worker["cpu"] for worker in mine), 3),
        memory=sum(worker.get("memory", 0) for worker in mine),
        gpu_memory=_total(mine, "gpu_memory"),
        gpu_total=max((w["gpu_total"] for w in mine if "gpu_total" in w), default=None),
        gpu=max((worker["gpu"] for worker in mine if "gpu" in worker), default=None),
        said=sum(len(its) for its in processes.values() if any("cpu" in one for one in its)),
        stacks=tuple(sorted(trials for trials in together if len(trials) > 1)),
        **more,
    )


def _total(workers: Sequence[Mapping[str, Any]], name: str) -> int | None:
    values = [int(worker[name]) for worker in workers if name in worker]
    return sum(values) if values else None


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"
