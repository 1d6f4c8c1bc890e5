"""A suggestion's cost is bounded: past a few hundred runs the process sees a part of them."""

from __future__ import annotations

from search.samplers.gaussian.belief import belief_of
from search.samplers.gp import GpConfig
from tests.benchmarks.samplers import GOALS, searched, suggestion

BUSY = 6.0
"""How much longer CPU seconds may be where other processes share caches and cores."""


def test_a_suggestion_takes_no_longer_than_its_goal() -> None:
    for runs, goal in GOALS.items():
        assert suggestion(runs, 3) < BUSY * goal


def test_many_runs_cost_little_more_than_some() -> None:
    """All of 2,000 would cost hundreds of times what 200 do."""
    assert suggestion(2000, 3) < 12 * suggestion(200, 3)
    space, history = searched(2000)
    most = GpConfig().max_observations
    assert most is not None
    assert belief_of(history, space, most).process.size <= most
