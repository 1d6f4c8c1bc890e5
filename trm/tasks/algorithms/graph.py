"""Graphs as matrices: which nodes can be reached from a source, and how far away are they?"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trm.tasks.base import IGNORE, Tokens
from trm.tasks.drawn import NOTHING, NOTHING_WORD, DrawnTask
from trm.tasks.ranged import RangedConfig

_EDGE, _NODE, _SOURCE, _NEVER = 2, 3, 4, 5
_APART = 0.15
"""The chance that a node is not to be reached."""
_MOST_NODES = 32


class GraphConfig(RangedConfig):
    """Which nodes of a graph can be reached from a source, or over how few edges.

    Attributes:
        find: what is asked of each node: whether it can be reached (`reach`), or its `distance`.
        nodes: nodes of a graph.
        directed: whether an edge leads one way, from its row to its column.
        density: the chance of each edge that changes no distance.
        farthest: least and most edges to the farthest node that can be reached, which is the
            difficulty; every number between is drawn equally often, as far as there are different
            graphs.
        beyond: most edges of the set beyond the trained range; null makes none.
    """

    ranged = "farthest"
    name: Literal["graph"] = "graph"
    find: Literal["reach", "distance"] = "distance"
    nodes: int = Field(default=8, ge=3, le=_MOST_NODES)
    directed: bool = False
    density: float = Field(default=0.25, ge=0.0, le=1.0)
    farthest: list[int] = Field(default=[1, 4], min_length=2, max_length=2)
    beyond: int | None = 5

    @property
    def bounds(self) -> tuple[int, int]:
        return 1, self.nodes - 1

    def rules(self) -> DrawnTask:
        return GraphTask(self)


class GraphTask(DrawnTask):
    """A matrix of edges with the nodes on its diagonal, where the answers stand too.

    Difficulty is the distance of the farthest node that can be reached. The symmetries are
    renumberings of the nodes. Two graphs that colour refinement (Weisfeiler and Leman) does not
    tell apart have one key, whether or not one is the other renumbered.
    """

    name = "graph"

    def __init__(self, config: GraphConfig) -> None:
        self.nodes, self.density = config.nodes, config.density
        self.directed, self.find = config.directed, config.find
        self.vocabulary = f"graph {config.find} {'one way' if config.directed else 'both ways'}"
        answers = [f"d{distance}" for distance in range(config.nodes)]
        self.words = ("!", NOTHING_WORD, "1", "o", "@", "x", *answers)
        self.vocab_size = len(self.words)
        self.seq_len = config.nodes**2
        self.grid_shape = (config.nodes, config.nodes)

    def draw(self, difficulty: int, count: int, rng: np.random.Generator) -> Tokens:
        """Layers first: an edge may lead one layer further at most, and each node has one before.

        Node 0 is the source, one node stands in each layer, the others anywhere.
        """
        n, far = self.nodes, difficulty
        layer = rng.integers(1, far + 1, size=(count, n))
        layer[:, : far + 1] = np.arange(far + 1)
        layer[:, far + 1 :][rng.random((count, n - far - 1)) < _APART] = n
        below, above = layer[:, :, None], layer[:, None, :]
        allowed = (above <= below + 1) if self.directed else (abs(above - below) <= 1)
        edges = allowed & (rng.random((count, n, n)) < self.density)
        score = np.where(above.transpose(0, 2, 1) == above - 1, rng.random((count, n, n)), 0.0)
        parent = score.argmax(axis=1)
        children = (layer > 0) & (layer < n)
        row, node = np.nonzero(children)
        edges[row, parent[row, node], node] = True
        if not self.directed:
            edges |= edges.transpose(0, 2, 1)
        tokens = np.where(edges, _EDGE, NOTHING).astype(np.int32)
        tokens[:, np.arange(n), np.arange(n)] = _NODE
        tokens[:, 0, 0] = _SOURCE
        return self.move(tokens.reshape(count, -1), rng)

    def answer(self, inputs: Tokens) -> Tokens:
        distance = self._distances(inputs)
        if self.find == "reach":
            distance = np.minimum(distance, 0)
        diagonal = np.arange(self.nodes)
        labels = np.full((len(inputs), self.nodes, self.nodes), IGNORE, dtype=np.int32)
        labels[:, diagonal, diagonal] = _NEVER + 1 + distance
        return labels.reshape(inputs.shape)

    def difficulty_of(self, inputs: Tokens, labels: Tokens) -> NDArray[np.float32]:
        return np.asarray(self._distances(inputs).max(axis=1), dtype=np.float32)

    def _distances(self, inputs: Tokens) -> NDArray[np.int64]:
        """Edges from the source to each node, `[n, nodes]`; -1 where none lead there."""
        n = self.nodes
        grids = inputs.reshape(-1, n, n)
        edges, diagonal = grids == _EDGE, np.arange(n)
        reached = grids[:, diagonal, diagonal] == _SOURCE
        distance = np.where(reached, 0, -1)
        for step in range(1, n):
            ahead = (edges & reached[:, :, None]).any(axis=1) & ~reached
            distance[ahead] = step
            reached |= ahead
        return distance

    def problem(self, puzzle: Tokens) -> str | None:
        n = self.nodes
        grid = puzzle.reshape(n, n)
        if sorted(np.diag(grid).tolist()) != [_NODE] * (n - 1) + [_SOURCE]:
            return "needs one @ and else o on the diagonal"
        off = grid[~np.eye(n, dtype=np.bool_)]
        if not np.isin(off, (NOTHING, _EDGE)).all():
            return "needs 1 or . off the diagonal"
        if not self.directed and (grid == _EDGE).tolist() != (grid.T == _EDGE).tolist():
            return "needs the same below the diagonal as above it: edges lead both ways"
        return None

    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        n = self.nodes
        grids = inputs.reshape(-1, n, n)
        edges = (grids == _EDGE).astype(np.uint64)
        colour = _mixed((grids[:, np.arange(n), np.arange(n)] == _SOURCE).astype(np.uint64))
        for _ in range(n):
            ahead = np.einsum("bij,bj->bi", edges, _mixed(colour))
            behind = np.einsum("bji,bj->bi", edges, _mixed(colour + np.uint64(1)))
            colour = _mixed(colour * np.uint64(3) + _mixed(ahead) + behind)
        return [row.tobytes() for row in np.sort(colour, axis=1)]

    def move(self, inputs: Tokens, rng: np.random.Generator) -> Tokens:
        n = self.nodes
        order = rng.permuted(np.tile(np.arange(n), (len(inputs), 1)), axis=1)
        rows = np.arange(len(inputs))[:, None, None]
        grids = inputs.reshape(-1, n, n)[rows, order[:, :, None], order[:, None, :]]
        return np.asarray(grids.reshape(inputs.shape))


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Numbers spread over 64 bits, so that sums of them tell sets apart.

    The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
    """
    z = numbers + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))
