"""Which parameters go with the score: only to say which figures come first.

Importances proper, with interactions, are `search.analysis.importance`'s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from search.objectives.objective import Objective
from search.report.facts import ConfigPoint, Facts
from search.space.distributions import Choice, Distribution

MOST_BINS = 5
_FEWEST = 4


def position(distribution: Distribution, value: object) -> float:
    """Where a value stands between the ends of its own scale: 0 and 1 at the ends; options evenly.

    Unlike `Range.position`, the ends of a stepped range are 0 and 1 too.
    """
    if isinstance(distribution, Choice):
        last = max(len(distribution.options) - 1, 1)
        return distribution.options.index(str(value)) / last
    assert isinstance(value, (int, float))
    low, high, at = distribution.low, distribution.high, float(value)
    if distribution.log:
        low, high, at = math.log(low), math.log(high), math.log(max(at, 1e-300))
    return (at - low) / (high - low)


def strongest(facts: Facts) -> list[str]:
    """The parameters, the one that goes most with the score or with failing first."""
    shares = {
        name: max(of_score(facts, distribution), of_failure(facts, distribution))
        for name, distribution in facts.parameters.items()
    }
    return sorted(shares, key=lambda name: (-shares[name], name))


def of_score(facts: Facts, distribution: Distribution) -> float:
    """The share of the variance of what ran to its end that a parameter goes with."""
    known = [p for p in _with(facts, distribution) if p.outcome == "completed"]
    return explained(distribution, known, [facts.objective.merit(p.score) for p in known])


def of_failure(facts: Facts, distribution: Distribution) -> float:
    """The same of which configs failed; what was stopped early did not."""
    known = _with(facts, distribution)
    return explained(distribution, known, [float(p.outcome == "failed") for p in known])


def _with(facts: Facts, distribution: Distribution) -> list[ConfigPoint]:
    return [p for p in facts.points if distribution.name in p.params and math.isfinite(p.score)]


def explained(
    distribution: Distribution, points: Sequence[ConfigPoint], values: Sequence[float]
) -> float:
    """The share of the variance of values between groups of like settings, less that of chance.

    Groups are a choice's options, or up to five of equal size by rank. The share is adjusted R^2:
    1 - (1 - eta^2) (n - 1) / (n - k), not below 0.
    """
    n = len(points)
    if n < _FEWEST:
        return 0.0
    scores = np.array(values)
    places = np.array([position(distribution, p.params[distribution.name]) for p in points])
    levels = np.unique(places)
    if isinstance(distribution, Choice) or len(levels) <= MOST_BINS:
        groups = np.searchsorted(levels, places)
    else:
        ends = np.quantile(places, np.linspace(0, 1, min(MOST_BINS, n // 2) + 1)[1:-1])
        groups = np.searchsorted(ends, places, side="right")
    total = float(((scores - scores.mean()) ** 2).sum())
    kinds = np.unique(groups)
    if total <= 0 or len(kinds) < 2 or n <= len(kinds):
        return 0.0
    within = sum(
        float(((scores[groups == kind] - scores[groups == kind].mean()) ** 2).sum())
        for kind in kinds
    )
    return max(0.0, 1 - within / total * (n - 1) / (n - len(kinds)))


MOST_POINTS = 600


def thin(
    points: Sequence[ConfigPoint], objective: Objective, most: int = MOST_POINTS
) -> list[ConfigPoint]:
    """At most `most` points: the best third of them, and others evenly from the rest, in order."""
    if len(points) <= most:
        return list(points)
    ranked = sorted(points, key=lambda point: (-objective.merit(point.score), point.trial))
    best = ranked[: most // 3]
    rest = ranked[most // 3 :]
    room = most - len(best)
    picked = [rest[index * len(rest) // room] for index in range(room)]
    return sorted([*best, *picked], key=lambda point: point.trial)
