"""Which of several candidates no other one beats in every objective, and how to rank the rest."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Key = TypeVar("Key", bound=Hashable)


def front(merits: Mapping[Key, Sequence[float]]) -> list[Key]:
    """The candidates that no other one dominates, the best in the first objective first.

    Args:
        merits: by candidate, its objectives, each turned so that more is better.

    >>> front({"a": [0.9, -3], "b": [0.8, -2], "c": [0.7, -4]})
    ['a', 'b']
    """
    return ranked(merits)[0] if merits else []


def ranked(merits: Mapping[Key, Sequence[float]]) -> list[list[Key]]:
    """Fronts, the best first: each is the front of what the ones before it leave.

    Within a front, by the first objective and then by the others. Non-dominated sorting: Deb et
    al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE TEC 6(2), 2002.
    """
    left = list(merits)
    fronts: list[list[Key]] = []
    while left:
        points = np.array([merits[key] for key in left], dtype=np.float64)
        best = ~_dominated(points)
        found = [key for key, is_best in zip(left, best, strict=True) if is_best]
        fronts.append(sorted(found, key=lambda key: tuple(-m for m in merits[key])))
        left = [key for key, is_best in zip(left, best, strict=True) if not is_best]
    return fronts


def spread_out(merits: Mapping[Key, Sequence[float]], most: int) -> list[Key]:
    """At most `most` candidates of the best fronts, those of the last one spread out along it.

    The extremes of a front come first, then by crowding distance (the same paper, section III-B).
    """
    chosen: list[Key] = []
    for members in ranked(merits):
        room = most - len(chosen)
        if room <= 0:
            break
        if len(members) > room:
            distance = _crowding(np.array([merits[key] for key in members], dtype=np.float64))
            order = np.argsort(-distance, kind="stable")[:room]
            members = [members[index] for index in sorted(order)]
        chosen += members
    return chosen


def _dominated(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """For `[n, objectives]`, whether another point is no worse everywhere and better somewhere."""
    found = np.zeros(len(points), dtype=np.bool_)
    for index, point in enumerate(points):
        found[index] = bool(((points >= point).all(1) & (points > point).any(1)).any())
    return found


def _crowding(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """For `[n, objectives]`, the normalised extent of the box between a point's neighbours."""
    distance = np.zeros(len(points))
    for column in points.T:
        order = np.argsort(column, kind="stable")
        extent = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = np.inf
        if extent > 0 and len(points) > 2:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / extent
    return distance
