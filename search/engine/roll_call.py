"""What a driver says of every node of its cluster, whether trials run there or not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from cluster.resources import Share, room
from search.config.share import in_words
from search.engine.node_probe import Fitness
from search.engine.nodes import NodeInfo, Prober, nodes_up


def _up() -> Sequence[NodeInfo]:
    import ray

    return nodes_up() if ray.is_initialized() else ()


class RollCall:
    """A prober that remembers what nodes answered, and who knows which nodes there are.

    Args:
        prober: asks nodes; None asks nobody.
        share: what one trial gets.
        alive: the nodes that are up.

    Attributes:
        able: says which nodes get trials, by their ids.
    """

    def __init__(
        self,
        prober: Prober | None,
        share: Share,
        alive: Callable[[], Sequence[NodeInfo]] = _up,
    ) -> None:
        self.able: Callable[[], Collection[str]] = tuple
        self._prober = prober
        self._share = share
        self._alive = alive
        self._refusals: dict[str, str] = {}

    @property
    def prober(self) -> Prober | None:
        """Itself, if anybody is asked."""
        return None if self._prober is None else self

    def ask(self, node: str) -> Any:
        """Begin to ask a node, by its id."""
        assert self._prober is not None
        return node, self._prober.ask(node)

    def answer(self, asked: Any) -> Fitness | None:
        """What it said; None if nothing yet."""
        assert self._prober is not None
        node, question = asked
        found = self._prober.answer(question)
        if found is not None:
            self._refusals[node] = found.refusal
        return found

    def facts(self) -> dict[str, Any]:
        """Every node that is up, as plain values; for another thread.

        `state` is `able`, `asked` (it has yet to show that it can run trials), `unfit` or `small`;
        `why` is the reason of the last two.
        """
        able = set(self.able())
        return {"nodes": [self._fact(node, able) for node in self._alive()]}

    def _fact(self, node: NodeInfo, able: Collection[str]) -> dict[str, Any]:
        resources, name = node["Resources"], node["NodeID"]
        state, why = "asked", ""
        if name in able:
            state = "able"
        elif refusal := self._refusals.get(name):
            state, why = "unfit", refusal
        elif not room(resources, self._share):
            state, why = "small", f"it has less than a trial gets, {in_words(self._share)}"
        elif self._prober is None:
            state = "able"
        return {
            "node": name,
            "host": node["NodeManagerHostname"],
            "cores": resources.get("CPU", 0.0),
            "gpus": resources.get("GPU", 0.0),
            "state": state,
            "why": why,
        }
