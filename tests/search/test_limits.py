from __future__ import annotations

import pytest

from search.ledger import Trial
from search.limits import Cost, LimitsConfig, reached, still_to_come


def trial(number: int, compute: float, seconds: float) -> Trial:
    return Trial(number, "explore", number, 0, {}, {}, compute=compute, seconds=seconds, mark=1)


def test_the_rest_is_estimated_at_the_pace_so_far() -> None:
    trials = {0: trial(0, 50.0, 10.0), 1: trial(1, 50.0, 30.0)}
    cost = still_to_come(trials, 6, budget=100.0, devices=2, parallel=3, seconds=1.0)
    assert cost == Cost(seconds=80.0, device_seconds=480.0, flops=600.0)
    assert still_to_come({}, 6, budget=100.0, devices=2, parallel=3, seconds=5.0) == Cost(
        10.0, 60.0, 600.0
    )


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (LimitsConfig(), None),
        (LimitsConfig(hours=1.0), "search.limits.hours 1"),
        (LimitsConfig(hours=1.1), None),
        (LimitsConfig(device_hours=2.0), "search.limits.device_hours 2"),
        (LimitsConfig(device_hours=2.1, flops=1e9), "search.limits.flops 1e+09"),
    ],
)
def test_the_first_limit_met_is_named(limits: LimitsConfig, words: str | None) -> None:
    assert reached(limits, Cost(3600.0, 7200.0, 1e9)) == words
