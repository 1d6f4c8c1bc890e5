from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curricula.difficulty import (
    AllAlike,
    Bandit,
    CompetenceDifficulty,
    EasyToHard,
    HardToEasy,
    Mixture,
    Window,
)
from curricula.feedback import Feedback
from curricula.pacing import Constant, Linear
from curricula.stage import Slice


def test_nothing_prefers_nothing() -> None:
    assert AllAlike().at(0.5, {}) == ()
    assert AllAlike().bins == 0


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.3, 0.59, 0.6, 1.0])
def test_pools_grow_from_either_end(progress: float) -> None:
    share = min(0.25 + 0.75 * progress / 0.6, 1.0)
    easy, hard = EasyToHard().at(progress, {}), HardToEasy().at(progress, {})
    if progress >= 0.6:
        assert easy == hard == ()
        return
    assert easy == (pytest.approx((0.0, share, 1.0)),)
    assert hard == (pytest.approx((1.0 - share, 1.0, 1.0)),)


@given(position=st.floats(0.0, 1.0), width=st.floats(0.001, 1.0))
def test_a_window_slides_within_the_examples(position: float, width: float) -> None:
    schedule = Window(position=Constant(value=position), width=Constant(value=width))
    slices = schedule.at(0.5, {})
    if width == 1.0:
        assert slices == ()
        return
    assert slices[0].high - slices[0].low == pytest.approx(width)
    assert slices[0].low == pytest.approx(position * (1.0 - width))
    assert slices[0].high <= 1.0


def test_a_mixture_gives_each_bin_its_curve() -> None:
    schedule = Mixture(weights=[Linear(start=3.0, end=0.0), Constant(value=1.0)])
    assert schedule.at(0.5, {}) == (Slice(0.0, 0.5, 1.5), Slice(0.5, 1.0, 1.0))
    assert schedule.at(1.0, {}) == (Slice(0.0, 0.5, 0.0), Slice(0.5, 1.0, 1.0))
    assert Mixture(weights=[Linear(start=1.0, end=0.0)]).at(1.0, {}) == ()
    assert Mixture(weights=[Constant(value=0.0)] * 3).at(0.5, {}) == ()


def test_a_pool_grows_when_it_is_mastered() -> None:
    pools = {
        "easy_to_hard": [(0.0, 0.25), (0.0, 0.5), (0.0, 0.75)],
        "hard_to_easy": [(0.75, 1.0), (0.5, 1.0), (0.25, 1.0)],
    }
    for order, expected in pools.items():
        schedule = CompetenceDifficulty.model_validate({"order": order, "patience": 1})
        state = schedule.begin()
        for low, high in expected:
            assert schedule.at(0.0, state) == (Slice(low, high),)
            state = schedule.observe(state, Feedback(1.0, 1.0, 0.0), 0.0)
        assert schedule.at(0.0, state) == ()


def recomputed(windows: list[Feedback], arms: int, rate: float, explore: float) -> list[float]:
    """The bandit's weights from all windows at once: Q is a sum of changes, the latest most."""
    progress = []
    for arm in range(arms):
        seen = [w.by_difficulty[arm][1] for w in windows if w.by_difficulty[arm][0]]
        changes = [after - before for before, after in pairwise(seen)]
        ages = range(len(changes) - 1, -1, -1)
        progress.append(
            abs(
                sum(
                    rate * (1 - rate) ** age * change
                    for age, change in zip(ages, changes, strict=True)
                )
            )
        )
    total = sum(progress)
    shares = [p / total for p in progress] if total else [1 / arms] * arms
    return [explore / arms + (1 - explore) * share for share in shares]


@given(
    seed=st.integers(0, 999), arms=st.integers(2, 6),
    rate=st.floats(0.05, 1.0), explore=st.floats(0.01, 1.0),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_the_bandit_follows_the_absolute_learning_progress(
    seed: int, arms: int, rate: float, explore: float
) -> None:
    rng = random.Random(seed)
    windows = [
        Feedback(1.0, 0.5, 0.5, tuple((rng.choice([0, 1, 9]), rng.random()) for _ in range(arms)))
        for _ in range(8)
    ]
    schedule = Bandit(arms=arms, rate=rate, explore=explore)
    assert schedule.bins == arms
    state = schedule.begin()
    for window in windows:
        state = schedule.observe(state, window, 0.0)
    slices = schedule.at(0.0, state)
    expected = recomputed(windows, arms, rate, explore)
    assert [part.weight for part in slices] == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert [part.low for part in slices] == pytest.approx([i / arms for i in range(arms)])
    assert sum(part.weight for part in slices) == pytest.approx(1.0)


def test_the_bandit_goes_where_accuracy_moves_and_not_where_it_only_jitters() -> None:
    schedule = Bandit(arms=3, explore=0.1, rate=0.2)
    state = schedule.begin()
    for window in range(20):
        jitter = 0.5 + 0.02 * (-1) ** window
        shares = (0.04 * window, 0.9, jitter)
        state = schedule.observe(
            state, Feedback(1.0, 0.5, 0.5, tuple((10, share) for share in shares)), 0.0
        )
    rising, still, jittering = (part.weight for part in schedule.at(0.0, state))
    assert rising > 3 * jittering > 3 * still
    assert still == pytest.approx(0.1 / 3)


def test_the_bandit_knows_nothing_at_first() -> None:
    schedule = Bandit(arms=4)
    state = schedule.observe(schedule.begin(), Feedback(1.0, 0.5, 0.5, ((9, 0.5),) * 4), 0.0)
    assert [part.weight for part in schedule.at(0.0, state)] == pytest.approx([0.25] * 4)
