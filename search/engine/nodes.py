"""Which nodes run trials, and how many: looked at all the time, as nodes come and go.

A node gets trials once it has proved that it can run them. A joiner is asked as soon as it is
seen, beside the trials that run elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from cluster.packing import Packing
from cluster.resources import Share, room
from search.config.share import in_words, require_fit
from search.engine.node_probe import Fitness
from search.engine.packing.parts import Group
from search.logs.console import warn
from trm.errors import UserError

LOOK_SECONDS = 1.0
"""Between two looks at the cluster."""
GATHER_SECONDS = 10.0
"""That all nodes have to answer before the first trial begins without some of them."""
ANSWER_SECONDS = 5.0
"""That a node has to answer when a trial's worker is there already."""
SILENT_SECONDS = 60.0
"""After which a node that does not answer is spoken of."""

NodeInfo = Mapping[str, Any]
"""A node as `ray.nodes()` has it."""


class Prober(Protocol):
    """Asks nodes whether they can run trials."""

    def ask(self, node: str) -> Any:
        """Begin to ask a node, by its id."""

    def answer(self, asked: Any) -> Fitness | None:
        """What it said; None if nothing yet."""


class Packs(Protocol):
    """Tells how many trials share a GPU of a node."""

    def copies(self, node: NodeInfo) -> int | None:
        """So many; None if that is not known yet."""


@dataclass
class _Known:
    """What is known of a node."""

    asked: Any
    since: float
    state: Literal["asked", "able", "unfit"] = "asked"
    spoken: bool = False
    answered: bool = False
    share: Share | None = None


class Nodes:
    """The nodes of the connected Ray.

    Args:
        share: what one trial gets.
        prober: asks them; None takes every node as able.
        packer: how many trials share a GPU of each; None is as `share` says.
        own_gpus: whether a trial has a GPU on nodes that have any, though `share` says none: a
            sweep that began without GPUs uses those of joiners, and loses no node.
        patience: seconds that nodes have to join, where none holds a share, before that is an
            error.
        scales: whether an autoscaler brings nodes: they have all the time then.
        alive: the nodes that are up; None asks Ray.
        now: a clock in seconds.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        share: Share,
        prober: Prober | None = None,
        *,
        packer: Packs | None = None,
        own_gpus: bool = False,
        patience: float = 0.0,
        scales: Callable[[], bool] = lambda: False,
        alive: Callable[[], Sequence[NodeInfo]] | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._share = share
        self._prober = prober
        self._packer = packer
        self._own_gpus = own_gpus
        self._patience, self._scales = patience, scales
        self._alive = alive or nodes_up
        self._now = now
        self._sleep = sleep
        self._nodes: dict[str, NodeInfo] = {}
        self._holders: list[str] = []
        self._known: dict[str, _Known] = {}
        self._refusals: dict[str, str] = {}
        self._begun, self._looked = now(), -LOOK_SECONDS
        self._worked = self._lost = self._awaited = False

    def room(self, without: Collection[str] = ()) -> int:
        """Trials that the able nodes hold at once, as it is now.

        Args:
            without: nodes that are left out.

        Raises:
            UserError: no node can run a trial, and none ever could.
        """
        self._look()
        silent = not all(self._known[node].answered for node in self._holders)
        if not self._worked and silent and self._now() - self._begun < GATHER_SECONDS:
            return 0  # Ray would start the first trials on any of them
        able = [node for node in self.able() if node not in without]
        found = sum(self._room(self._nodes[node]) for node in able)
        if found:
            if self._lost:
                warn(f"{found} trials at once find room again: the sweep goes on")
            self._worked, self._lost = True, False
        elif self._worked:
            if not self._lost:
                warn("no node is left that can run a trial: the sweep waits for one to join")
            self._lost = True
        else:
            self._require_hope()
        return found

    def able(self) -> list[str]:
        """Nodes that are up, hold a trial's share and have proved themselves."""
        return [node for node in self._holders if self._known[node].state == "able"]

    def barred(self) -> list[str]:
        """Nodes that are up and hold one, and get none, or none before their share is known.

        One that has yet to answer is not among them: what a trial asks for is not changed any more
        while it waits for room, and may find it there alone.
        """
        known = ((node, self._known[node]) for node in self._holders)
        return [node for node, one in known if one.answered and one.state != "able"]

    def groups(self) -> dict[float, Group]:
        """The able nodes by the part of a GPU that a trial has there, if they may have any.

        Those without GPUs are a group where joiners' GPUs count: nothing else runs there.
        """
        found: dict[float, list[str]] = {}
        for node in self.able():
            gpus = self._share_on(self._nodes[node]).gpus
            if gpus or self._own_gpus:
                found.setdefault(gpus, []).append(node)
        return {
            gpus: Group(tuple(nodes), sum(self._room(self._nodes[node]) for node in nodes))
            for gpus, nodes in found.items()
        }

    def packed(self) -> float:
        """Trials in the place of one, on average, where they share GPUs."""
        able = [self._nodes[node] for node in self.able()]
        alone = sum(room(node["Resources"], self._share) for node in able)
        return max(sum(map(self._room, able)) / alone, 1.0) if alone else 1.0

    def share(self) -> Share:
        """What a trial gets on average."""
        rooms = {gpus: group.room for gpus, group in self.groups().items()}
        if not rooms:
            return self._share
        mean = sum(gpus * count for gpus, count in rooms.items()) / sum(rooms.values())
        return replace(self._share, gpus=mean)

    def coming(self) -> int:
        """Trials that nodes hold which have yet to answer."""
        asked = [node for node in self._holders if self._known[node].state == "asked"]
        return sum(self._room(self._nodes[node]) for node in asked)

    def allows(self, node: str) -> bool:
        """Whether a worker on a node may train; a node that is being asked has a moment."""
        end = self._now() + ANSWER_SECONDS
        while node not in self._known or self._known[node].state == "asked":
            self._look(at_once=True)
            if node not in self._known or self._now() >= end:
                break
            if self._known[node].state == "asked":
                self._sleep(0.1)
        return node not in self._known or self._known[node].state == "able"

    def gone(self, node: str) -> bool:
        """Whether a node that was up is not any more."""
        if node in self._nodes:
            self._look(at_once=True)
        return bool(node) and node not in self._nodes

    def _look(self, at_once: bool = False) -> None:
        now = self._now()
        if now - self._looked < LOOK_SECONDS and not at_once:
            return
        self._looked = now
        self._nodes = {node["NodeID"]: node for node in self._alive()}
        self._holders = [node for node, info in self._nodes.items() if self._room(info)]
        for node in self._holders:
            if node not in self._known:
                asked = self._prober.ask(node) if self._prober else None
                self._known[node] = _Known(asked, now, answered=self._prober is None)
            known = self._known[node]
            if known.state == "asked":
                self._hear(node, known, now)

    def _hear(self, node: str, known: _Known, now: float) -> None:
        if not known.answered:
            self._hear_prober(node, known, now)
        if known.answered and known.state == "asked":
            known.share, known.state = self._whole_share(self._nodes[node]), "able"
            if self._packer is not None:
                copies = self._packer.copies(self._nodes[node])
                if copies is None:
                    known.share, known.state = None, "asked"
                elif copies > 1:
                    known.share = replace(known.share, gpus=Packing(copies).gpus)

    def _hear_prober(self, node: str, known: _Known, now: float) -> None:
        assert self._prober is not None
        answer = self._prober.answer(known.asked)
        if answer is None:
            if now - known.since > SILENT_SECONDS and not known.spoken:
                known.spoken = True
                warn(
                    f"node {self._name(node)} has not answered for {SILENT_SECONDS:.0f} s: it gets "
                    "no trials until it does"
                )
            return
        known.asked, known.answered = None, True
        if answer.refusal:
            known.state = "unfit"
            self._refusals[node] = f"node {self._name(node)}: {answer.refusal}"
            if not self._hopeless():
                warn(f"{self._refusals[node]}; it gets no trials")
        if answer.note:
            warn(f"node {self._name(node)} {answer.note}")

    def _require_hope(self) -> None:
        """
        Raises:
            UserError: no node that is up can run a trial.
        """
        if self._hopeless():
            refused = [self._refusals[node] for node in self._nodes if node in self._refusals]
            more = f" (so do all {len(refused)} nodes)" if len(refused) > 1 else ""
            raise UserError(f"{refused[0]}{more}")
        if self._holders:
            return
        scales = self._scales()
        if not scales and self._now() - self._begun >= self._patience:
            require_fit(self._share, [node["Resources"] for node in self._nodes.values()])
        if not self._awaited:
            self._awaited = True
            awaited = "the autoscaler to bring one (`ray status` has what it does)"
            asks = "; cluster.gpus_per_trial asks it for GPUs" if self._own_gpus else ""
            awaited = f"{awaited}{asks}" if scales else "one to join"
            warn(f"no node has {in_words(self._share)} for a trial: waits for {awaited}")

    def _hopeless(self) -> bool:
        """Whether every node that holds a share has refused, and none ever could run a trial."""
        return (
            not self._worked
            and bool(self._holders)
            and all(node in self._known for node in self._holders)
            and all(self._known[node].state == "unfit" for node in self._holders)
        )

    def _room(self, node: NodeInfo) -> int:
        return room(node["Resources"], self._share_on(node))

    def _share_on(self, node: NodeInfo) -> Share:
        known = self._known.get(node["NodeID"])
        return known.share if known and known.share else self._whole_share(node)

    def _whole_share(self, node: NodeInfo) -> Share:
        """What a trial has there that shares its GPU with no other."""
        if self._own_gpus and node["Resources"].get("GPU", 0.0) >= 1.0:
            return replace(self._share, gpus=1.0)
        return self._share

    def _name(self, node: str) -> str:
        info = self._nodes[node]
        return f"{info['NodeManagerHostname']} ({info['NodeManagerAddress']})"


def nodes_up() -> list[NodeInfo]:
    """Those of the connected Ray."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]
