"""Which parameters go with the score: only to say which figures come first.

Importances proper, with interactions, are `search.importance`'s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from search.distributions import Choice, Distribution
from search.report.facts import Facts, Point

MOST_BINS = 5
_FEWEST = 4


def position(distribution: Distribution, value: object) -> float:
    """Where a value stands between the ends of its own scale, in [0, 1]; options evenly."""
    if isinstance(distribution, Choice):
        last = max(len(distribution.options) - 1, 1)
        return distribution.options.index(str(value)) / last
    assert isinstance(value, (int, float))
    return min(max(distribution.position(value), 0.0), 1.0)


def strongest(facts: Facts) -> list[str]:
    """The parameters, the one that explains most of the score first."""
    shares = {
        name: explained(facts, distribution, facts.points)
        for name, distribution in facts.parameters.items()
    }
    return sorted(shares, key=lambda name: (-shares[name], name))


def explained(facts: Facts, distribution: Distribution, points: Sequence[Point]) -> float:
    """The share of the score's variance between groups of like values, corrected for chance.

    Groups are a choice's options, or up to five of equal size by rank. The correction is that of
    adjusted R^2: 1 - (1 - eta^2) (n - 1) / (n - k). Failures stand at the floor; what was stopped
    early is left out, for its score is that of a shorter run.
    """
    known = [
        p
        for p in points
        if p.outcome != "pruned" and distribution.name in p.params and math.isfinite(p.score)
    ]
    n = len(known)
    if n < _FEWEST:
        return 0.0
    scores = np.array([facts.objective.merit(point.score) for point in known])
    places = np.array([position(distribution, p.params[distribution.name]) for p in known])
    values = np.unique(places)
    if isinstance(distribution, Choice) or len(values) <= MOST_BINS:
        groups = np.searchsorted(values, places)
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
