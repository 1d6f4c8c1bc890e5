"""The rule that climbs: merit, patience, spikes and deadlines."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curricula.feedback import Feedback
from curricula.ladder import WINDOWS, Ladder

TOP = 4
GOOD, BAD = Feedback(1.0, 0.7, 0.0), Feedback(1.0, 0.69, 1.0)


def levels(ladder: Ladder, windows: list[Feedback], progress: float = 0.0) -> list[int]:
    state, seen = ladder.begin(), []
    for window in windows:
        state = ladder.climb(state, window, progress, TOP)
        seen.append(ladder.level(progress, state, TOP))
    return seen


def test_it_climbs_after_patience_good_windows_in_a_row() -> None:
    ladder = Ladder(patience=3, deadline=None)
    assert levels(ladder, [GOOD, GOOD, BAD, GOOD, GOOD, GOOD, GOOD]) == [0, 0, 0, 0, 0, 1, 1]
    assert levels(ladder, [GOOD] * 30)[-1] == TOP
    assert levels(ladder, [GOOD] * 12) == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4]


def test_a_metric_that_is_not_a_number_is_no_merit() -> None:
    windows = [Feedback(1.0, math.nan, math.nan)] * 5
    assert levels(Ladder(patience=1, deadline=None), windows) == [0] * 5


def with_loss(loss: float, accuracy: float = 0.0) -> Feedback:
    return Feedback(loss, accuracy, 0.0)


@pytest.mark.parametrize("spike", [2.1, math.nan, math.inf])
def test_a_loss_spike_costs_one_level(spike: float) -> None:
    ladder = Ladder(patience=1, deadline=None, fall_back=2.0)
    climb = [with_loss(1.0, 1.0)] * 3
    steady = [with_loss(1.0)] * 6
    seen = levels(ladder, [*climb, *steady, with_loss(spike), with_loss(spike), *steady])
    # After the fall the loss of the lower level is not known yet, so nothing is a spike.
    assert seen == [1, 2, 3, *[3] * 6, *[2] * 8]
    assert levels(ladder, [*climb, *steady, with_loss(1.9)])[-1] == 3


def test_a_spike_needs_a_history_and_a_fall_back() -> None:
    climb = [with_loss(1.0, 1.0)] * 2
    early = [*climb, with_loss(1.0), with_loss(99.0)]
    assert levels(Ladder(patience=1, deadline=None, fall_back=2.0), early)[-1] == 2
    late = [*climb, *[with_loss(1.0)] * 9, with_loss(math.nan)]
    assert levels(Ladder(patience=1, deadline=None), late)[-1] == 2


def test_a_loss_that_stays_high_is_soon_the_usual_one() -> None:
    ladder = Ladder(patience=2, deadline=None, fall_back=2.0)
    windows = [*[with_loss(1.0)] * WINDOWS, *[with_loss(9.0, 1.0)] * WINDOWS]
    assert levels(ladder, windows)[-1] >= 1


@pytest.mark.parametrize("deadline", [0.7, 1.0, 0.05])
def test_the_deadline_spreads_the_levels_evenly(deadline: float) -> None:
    ladder = Ladder(deadline=deadline)
    for level in range(1, TOP + 1):
        due = deadline * level / TOP
        assert ladder.level(due, ladder.begin(), TOP) == level
        assert ladder.level(due - 1e-6, ladder.begin(), TOP) == level - 1
    assert ladder.level(1.0, ladder.begin(), TOP) == TOP


def test_merit_counts_from_the_level_that_is_due() -> None:
    ladder = Ladder(patience=2, deadline=0.8)
    assert levels(ladder, [BAD, GOOD, GOOD], progress=0.45) == [2, 2, 3]


def test_no_spike_goes_below_the_level_that_is_due() -> None:
    ladder = Ladder(patience=1, deadline=0.8, fall_back=2.0)
    windows = [*[with_loss(1.0)] * 8, with_loss(99.0)]
    assert levels(ladder, windows, progress=0.45) == [2] * 9


def test_the_top_is_the_end() -> None:
    assert levels(Ladder(patience=1, deadline=1e-300), [GOOD] * 9, progress=1.0) == [TOP] * 9
    ladder = Ladder(patience=1)
    assert ladder.climb(ladder.begin(), GOOD, 0.9, 0)["level"] == 0


def slow(windows: list[Feedback], progress: list[float], ladder: Ladder) -> list[int]:
    """The rule again, from the whole history of each level."""
    assert ladder.deadline is not None
    assert ladder.fall_back is not None
    level, since, seen = 0, 0, []
    for index, (window, share) in enumerate(zip(windows, progress, strict=True)):
        known = [w.loss for w in windows[since:index] if math.isfinite(w.loss)][-WINDOWS:]
        spike = len(known) >= 5 and not window.loss <= ladder.fall_back * median(known)
        run = windows[since : index + 1][-ladder.patience :]
        merit = len(run) == ladder.patience and all(
            w.exact_accuracy >= ladder.threshold for w in run
        )
        due = int(min(share / ladder.deadline, 1.0) * TOP + 1e-9)
        following = level - 1 if spike else level + 1 if merit else level
        following = min(max(following, due), TOP)
        if following != level:
            level, since = following, index + 1
        seen.append(level)
    return seen


loss = st.sampled_from([0.5, 1.0, 1.0, 1.5, 9.0, math.nan, math.inf])


@given(
    windows=st.lists(st.tuples(loss, st.sampled_from([0.2, 0.9, 0.9])), min_size=1, max_size=60),
    patience=st.integers(1, 4),
    deadline=st.floats(0.1, 1.0),
)
@settings(max_examples=200, deadline=None)
def test_any_run_against_the_rule_from_the_whole_history(
    windows: list[Any], patience: int, deadline: float
) -> None:
    ladder = Ladder(patience=patience, fall_back=2.0, deadline=deadline)
    feedback = [with_loss(*window) for window in windows]
    progress = [index / len(windows) for index in range(len(windows))]
    state, seen = ladder.begin(), []
    for window, share in zip(feedback, progress, strict=True):
        state = ladder.climb(state, window, share, TOP)
        seen.append(state["level"])
        assert ladder.level(share, state, TOP) == state["level"]
    # Streaks that began before a change do not count after it, as in the slow version.
    assert seen == slow(feedback, progress, ladder)
