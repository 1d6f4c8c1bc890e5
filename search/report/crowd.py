"""Fewer points where a figure would drown in them."""

from __future__ import annotations

from collections.abc import Sequence

from search.objective import Objective
from search.report.facts import Point

MOST_POINTS = 600


def thin(points: Sequence[Point], objective: Objective, most: int = MOST_POINTS) -> list[Point]:
    """At most `most` points: the best third of them, and others evenly from the rest, in order."""
    if len(points) <= most:
        return list(points)
    ranked = sorted(points, key=lambda point: (-objective.merit(point.score), point.trial))
    best = ranked[: most // 3]
    rest = ranked[most // 3 :]
    room = most - len(best)
    picked = [rest[index * len(rest) // room] for index in range(room)]
    return sorted([*best, *picked], key=lambda point: point.trial)
