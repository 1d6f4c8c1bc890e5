"""Every scheduler keeps what all promise, killed and resumed at any record of the ledger."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curricula.component import by_name
from search.schedulers import SCHEDULERS
from search.schedulers.scheduler import EarlyStoppingConfig
from search.testing.schedulers import check

SECTIONS: list[dict[str, Any]] = [
    {"name": "asha"},
    {"name": "asha", "eta": 2.0, "min_share": 0.03},
    {"name": "hyperband"},
    {"name": "hyperband", "metric": "lm_loss", "mode": "min"},
    {"name": "median", "min_trials": 2},
    {"name": "median", "on": "seconds", "full_seconds": 60.0},
    {"name": "halving"},
    {"name": "halving", "eta": 2.0, "min_share": 0.03},
    {"name": "halving", "on": "steps", "full_steps": 100.0, "metric": "cell_accuracy"},
    {"name": "learned"},
    {"name": "learned", "least": 0.3, "decisions": 4},
    {"name": "none"},
]


@pytest.mark.parametrize("section", SECTIONS, ids=str)
@given(seed=st.integers(0, 2**32), workers=st.sampled_from([1, 1, 2, 5]), cut=st.integers(1, 260))
@settings(max_examples=20, deadline=None)
def test_it_conforms(section: dict[str, Any], seed: int, workers: int, cut: int) -> None:
    config = by_name(SCHEDULERS, section)
    assert isinstance(config, EarlyStoppingConfig)
    check(config, seed, workers, cut)


def test_every_scheduler_that_stops_trials_is_tried() -> None:
    stopping = {n for n, kind in SCHEDULERS.items() if issubclass(kind, EarlyStoppingConfig)}
    assert stopping == {section["name"] for section in SECTIONS}
