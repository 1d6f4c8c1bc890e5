from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curricula.feedback import Feedback
from curricula.pacing import Constant
from curricula.supervision import (
    CompetenceSupervision,
    DecayingWeights,
    EqualWeights,
    FullSupervision,
    HaltGrowth,
    LastStepOnly,
    SupervisionRamp,
    SupervisionStage,
    SupervisionStages,
)


def test_the_ramp_is_linear_from_least_to_most() -> None:
    schedule = SupervisionRamp(least=2)  # over the first half of the run
    for thousandth in range(1001):
        share = min(Fraction(thousandth, 500), Fraction(1))
        assert schedule.at(thousandth / 1000, 16, {}) == 2 + math.floor(14 * share)


@given(least=st.integers(1, 30), full=st.integers(1, 20), share=st.integers(0, 60))
def test_a_ramp_rounds_down_and_never_passes_the_most(least: int, full: int, share: int) -> None:
    schedule = SupervisionRamp(least=least, curve=Constant(value=share / 60))
    low = min(least, full)
    assert schedule.at(0.5, full, {}) == low + math.floor((full - low) * Fraction(share, 60))


def test_halt_growth_is_one_step_more_each_well_calibrated_time() -> None:
    schedule = HaltGrowth(patience=3, deadline=None, threshold=0.8)
    good, bad = Feedback(1.0, 0.0, 0.8), Feedback(1.0, 1.0, 0.79)
    state, seen = schedule.begin(), []
    for feedback in [good, good, good, good, good, bad, good, good, good, *[good] * 30]:
        state = schedule.observe(state, feedback, 0.0, 5)
        seen.append(schedule.at(0.0, 5, state))
    assert seen == [1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 4, 4, 4, *[5] * 25]


def test_growth_begins_at_least() -> None:
    assert HaltGrowth(least=4).at(0.0, 16, HaltGrowth().begin()) == 4
    assert HaltGrowth(least=4).at(0.0, 2, HaltGrowth().begin()) == 2
    right = Feedback(1.0, exact_accuracy=1.0, halt_accuracy=0.0)
    for schedule, steps in ((CompetenceSupervision(patience=1), 2), (HaltGrowth(patience=1), 1)):
        assert schedule.at(0.0, 16, schedule.observe(schedule.begin(), right, 0.0, 16)) == steps


def test_stages_are_cut_to_the_most() -> None:
    stages = [SupervisionStage(at=0.0, steps=2), SupervisionStage(at=0.5, steps=99)]
    schedule = SupervisionStages(stages=[*stages, SupervisionStage(at=0.8)])
    assert [schedule.at(p, 16, {}) for p in (0.0, 0.49, 0.5, 0.8)] == [2, 2, 16, 16]
    assert schedule.at(0.0, 1, {}) == FullSupervision().at(0.0, 1, {}) == 1


def test_decaying_weights_by_fractions_at_the_papers_rate() -> None:
    rate = Fraction(7, 10)
    powers = [rate ** (t - 1) for t in range(1, 17)]
    expected = [float(power / sum(powers)) for power in powers]
    assert DecayingWeights(rate=0.7).at(16) == pytest.approx(expected, rel=1e-12)
    # The geometric series' closed form.
    assert expected[0] == pytest.approx((1 - 0.7) / (1 - 0.7**16))


@given(rate=st.floats(0.01, 1.0), steps=st.integers(1, 16))
def test_decaying_weights_fall_and_sum_to_1(rate: float, steps: int) -> None:
    weights = DecayingWeights(rate=rate).at(steps)
    assert len(weights) == steps
    assert sum(weights) == pytest.approx(1.0)
    for one, other in pairwise(weights):
        assert other == pytest.approx(one * rate)


def test_the_other_weights_are_equal_or_of_the_last_step() -> None:
    assert EqualWeights().at(16) == LastStepOnly().at(16) == ()
    assert [w.last_step_only for w in (EqualWeights(), DecayingWeights(), LastStepOnly())] == [
        False, False, True,
    ]  # fmt: skip
