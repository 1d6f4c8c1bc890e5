from __future__ import annotations

from typing import Any

import pytest

from search.config.limits import Cost, LimitsConfig, Meter, reached
from search.ledger.trial import Trial


def trial(number: int, compute: float, seconds: float, **more: Any) -> Trial:
    return Trial(number, "explore", number, 0, {}, {}, compute=compute, seconds=seconds, **more)


def meter(trials: list[Trial], **limits: float) -> Meter:
    return Meter(
        limits=LimitsConfig(**limits),
        budget=100.0,
        devices=2.0,
        parallel=3,
        wall_seconds=lambda: 50.0,
        spent=lambda: (sum(t.compute for t in trials), sum(t.seconds for t in trials)),
        trials={trial.id: trial for trial in trials},
    )


TWO = [trial(0, 50.0, 10.0, outcome="pruned"), trial(1, 100.0, 35.0, outcome="completed")]


def test_what_trials_cost_and_will_cost_at_their_pace() -> None:
    found = meter(TWO)
    assert found.cost() == Cost(seconds=50.0, device_seconds=90.0, flops=150.0)
    # 0.3 s a FLOP: 30 s a full run.
    assert found.to_come(6) == Cost(seconds=60.0, device_seconds=360.0, flops=600.0)
    assert meter([]).to_come(6) == Cost(0.0, 0.0, 600.0)


def test_a_new_trial_needs_room_for_itself_the_running_ones_and_the_confirm_stage() -> None:
    # A mean trial is 0.75 of a run; one that has had 0.5 goes on for 0.5, as what went further did.
    running = trial(2, 50.0, 15.0)
    assert meter([*TWO, running], flops=200.0 + 100 * (0.75 + 0.5 + 2) + 1).leaves_room(2)
    assert not meter([*TWO, running], flops=200.0 + 100 * (0.75 + 0.5 + 2) - 5).leaves_room(2)
    early = trial(2, 10.0, 3.0)  # those that ended had 0.4 and 0.9 more than it has
    assert meter([*TWO, early], flops=160.0 + 100 * (0.75 + 0.65) + 1).leaves_room(0)
    assert not meter([*TWO, early], flops=160.0 + 100 * (0.75 + 0.65) - 5).leaves_room(0)
    alone = trial(2, 30.0, 3.0)
    assert meter([alone], flops=30.0 + 100 * (1 + 0.7) + 1).leaves_room(0)
    assert not meter([alone], flops=30.0 + 100 * (1 + 0.7) - 5).leaves_room(0)
    waiting = trial(2, 50.0, 15.0, paused=True)
    assert meter([*TWO, waiting], flops=200.0 + 100 * (0.75 + 2) + 1).leaves_room(2)
    assert meter([*TWO, running]).leaves_room(10**9), "no limit, no end"


def test_as_many_runs_begin_as_a_limit_was_counted_for() -> None:
    """A run ends with the first step past its mark, so seven cost slightly more than seven."""
    slightly = [trial(number, 100.2, 30.0, outcome="completed") for number in range(7)]
    assert meter(slightly[:6], flops=700.0).leaves_room(0)
    assert not meter(slightly, flops=700.0).leaves_room(0)
    assert meter(slightly, flops=700.0).met() is None, "the last one ends"
    assert not meter(slightly[:6], flops=690.0).leaves_room(0)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (LimitsConfig(), None),
        (LimitsConfig(hours=1.0), "search.limits.hours 1"),
        (LimitsConfig(hours=1.1), None),
        (LimitsConfig(device_hours=2.0), "search.limits.device_hours 2"),
        (LimitsConfig(device_hours=2.1, flops=1e9), None),
        (LimitsConfig(device_hours=2.1, flops=0.99e9), "search.limits.flops 9.9e+08"),
    ],
)
def test_the_first_limit_met_is_named(limits: LimitsConfig, words: str | None) -> None:
    assert reached(limits, Cost(3600.0, 7200.0, 1e9)) == words
