"""Every point of a grid, once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from search.samplers.base import SamplerConfig
from search.samplers.history import History
from search.space.distributions import Choice, Distribution, Range
from search.space.nodes import Branch
from search.space.space import Draw, Space
from trm.errors import UserError

MOST_POINTS = 1_000_000


class GridConfig(SamplerConfig):
    """All combinations of a few values of each parameter, in a random order that the seed fixes.

    So the part of the grid that was drawn covers the whole evenly. The sweep ends when every point
    was drawn.

    Attributes:
        points: values of a range, evenly spread on its own scale, both ends included; a range
            of fewer values gives all of them, a choice all of its options, each with the
            combinations of the parameters that exist under it.
    """

    name: Literal["grid"] = "grid"
    points: int = Field(default=3, ge=2, le=1000)

    def check(self, space: Space, objectives: int, trials: int) -> None:
        size = _count(space.root, self.points)
        if size > MOST_POINTS:
            raise UserError(
                "search.sampler.points", self.points,
                f"makes a grid of {size:,} points, and at most {MOST_POINTS:,} can be listed: "
                "lower it, search fewer parameters, or use qmc",
            )  # fmt: skip

    def size(self, space: Space) -> int:
        return _count(space.root, self.points)

    def exhausted(self, history: History, space: Space) -> bool:
        return len(self._places(history, space)) == self.size(space)

    def draw(self, history: History, space: Space, seed: int, trials: int) -> Draw:
        """The first point, in the grid's order, that no candidate has been."""
        places = self._places(history, space)
        assert len(places) < self.size(space), "every point of the grid was drawn"
        order = _order(self.size(space), seed)
        start = history.views.setdefault(("grid from", id(space), seed, self.points), [0])
        while int(order[start[0]]) in places:
            start[0] += 1
        return self._draw(space, int(order[start[0]]))

    def _places(self, history: History, space: Space) -> set[int]:
        """The grid's points that were drawn, also those of them that came as first points."""
        key = ("grid", id(space), self.points)
        view = history.views.setdefault(key, {"seen": 0, "places": set()})
        for record in history.records[view["seen"] :]:
            place = _rank(space.root, self.points, record.params)
            if place is not None:
                view["places"].add(place)
        view["seen"] = len(history.records)
        places: set[int] = view["places"]
        return places

    def _draw(self, space: Space, place: int) -> Draw:
        params = dict(_unrank(space.root, self.points, place))
        return space.draw(lambda name, _: params[name])


@lru_cache(maxsize=1024)
def grid_values(distribution: Distribution, points: int) -> tuple[Any, ...]:
    """The values of a parameter in a grid.

    >>> grid_values(Range("x", (), "loguniform", 0.25, 4.0), 3)
    (0.25, 1.0, 4.0)
    """
    if isinstance(distribution, Choice):
        return distribution.options
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.count <= points:
        values = [
            distribution.snap(low + i * (step or 0.0)) for i in range(int(distribution.count))
        ]
    else:
        ends = distribution.position(low), distribution.position(high)
        values = [distribution.at(float(share)) for share in np.linspace(*ends, points)]
        values[0], values[-1] = distribution.cast(low), distribution.cast(high)
    return tuple(dict.fromkeys(values))


def _children(node: Any) -> list[Any]:
    """The nodes below a mapping or a list, which are drawn independently."""
    return [*node.values()] if isinstance(node, Mapping) else node


def _count(node: Any, points: int) -> int:
    """How many points a node has."""
    if isinstance(node, Range):
        return len(grid_values(node, points))
    if isinstance(node, Branch):
        return sum(_count(child, points) for child in node.nodes.values())
    if isinstance(node, (Mapping, list)):
        return math.prod(_count(child, points) for child in _children(node))
    return 1


def _unrank(node: Any, points: int, place: int) -> Iterator[tuple[str, Any]]:
    """The parameters of a node's point `place`, from 0."""
    if isinstance(node, Range):
        yield node.name, grid_values(node, points)[place]
    elif isinstance(node, Branch):
        for option, child in node.nodes.items():
            count = _count(child, points)
            if place < count:
                yield node.choice.name, option
                yield from _unrank(child, points, place)
                return
            place -= count
    elif isinstance(node, (Mapping, list)):
        for child in _children(node):
            place, rest = divmod(place, _count(child, points))
            yield from _unrank(child, points, rest)


def _rank(node: Any, points: int, params: Mapping[str, Any]) -> int | None:
    """The place of the point that parameters make; None if they are not on the grid."""
    if isinstance(node, Range):
        value = params[node.name]
        # The middle of a range may be rounded in more than one way.
        equal = (i for i, v in enumerate(grid_values(node, points)) if math.isclose(v, value))
        return next(equal, None)
    if isinstance(node, Branch):
        before = 0
        for option, child in node.nodes.items():
            if option == params[node.choice.name]:
                inside = _rank(child, points, params)
                return None if inside is None else before + inside
            before += _count(child, points)
    place, weight = 0, 1
    if isinstance(node, (Mapping, list)):
        for child in _children(node):
            inside = _rank(child, points, params)
            if inside is None:
                return None
            place, weight = place + inside * weight, weight * _count(child, points)
    return place


@lru_cache(maxsize=4)
def _order(size: int, seed: int) -> npt.NDArray[np.int64]:
    """The places of a grid in the order in which they are drawn."""
    return np.random.default_rng(seed).permutation(size)
