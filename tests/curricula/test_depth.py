"""Depth schedules against their papers' numbers, by independent computation."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curricula.depth import (
    Cgar,
    CompetenceDepth,
    DepthRamp,
    DepthSegment,
    DepthSegments,
    DepthStage,
    HaltGrowthDepth,
    Rsm,
    Stages,
)
from curricula.feedback import Feedback
from curricula.pacing import Constant, Linear
from curricula.stage import Depth

FULL = Depth(3, 6)
depths = st.builds(Depth, st.integers(1, 9), st.integers(1, 12))


def test_cgar_at_the_size_of_its_paper() -> None:
    before = 1e-7
    for progress, depth in [
        (0.0, (1, 2)), (0.3 - before, (1, 2)), (0.3, (2, 4)), (0.6 - before, (2, 4)),
        (0.6, (3, 6)), (1.0, (3, 6)),
    ]:  # fmt: skip
        assert Cgar().at(progress, FULL, {}) == depth


@given(full=depths, progress=st.floats(0.0, 1.0))
@settings(max_examples=200)
def test_cgar_is_the_third_and_two_thirds_rounded_up(full: Depth, progress: float) -> None:
    thirds = 1 if progress < 0.3 - 1e-9 else 2 if progress < 0.6 - 1e-9 else 3
    expected = tuple(math.ceil(Fraction(thirds * cycles, 3)) for cycles in full)
    assert Cgar().at(progress, full, {}) == expected


def test_cgar_with_other_shares() -> None:
    schedule = Cgar(first=0.5, second=0.5)
    assert [schedule.at(p, FULL, {}).H_cycles for p in (0.49, 0.5, 0.74, 0.75)] == [1, 2, 2, 3]
    assert Cgar(first=0.0, second=0.0).at(0.0, FULL, {}) == FULL


H_AT = [Fraction(n, 1000) for n in (201, 401, 551, 651, 751, 851)]
L_AT = [Fraction(n, 1000) for n in (301, 501, 701, 801, 841)]


@pytest.mark.parametrize("full", [Depth(20, 20), Depth(3, 6), Depth(1, 1), Depth(8, 2)])
@pytest.mark.parametrize("stretch", [1.0, 0.5])
def test_rsm_grows_by_one_at_its_papers_milestones(full: Depth, stretch: float) -> None:
    for thousandth in range(1001):
        progress = Fraction(thousandth, 1000)
        expected = tuple(
            min(2 + sum(progress >= at * Fraction(stretch) for at in shares), cycles)
            for shares, cycles in ((H_AT, full.H_cycles), (L_AT, full.L_cycles))
        )
        assert Rsm(stretch=stretch).at(float(progress), full, {}) == expected


def test_rsm_from_another_start() -> None:
    schedule = Rsm(start=1, H_at=[0.5], L_at=[])
    assert [schedule.at(p, FULL, {}) for p in (0.0, 0.5)] == [(1, 1), (2, 1)]


@given(full=depths, share=st.integers(0, 60))
@settings(max_examples=200)
def test_a_ramp_rounds_a_share_of_the_depth_up(full: Depth, share: int) -> None:
    curve = Constant(value=share / 60)
    H, L = (max(math.ceil(Fraction(share, 60) * cycles), 1) for cycles in full)
    for drives, expected in (
        ("both", (H, L)),
        ("H", (H, full.L_cycles)),
        ("L", (full.H_cycles, L)),
    ):
        schedule = DepthRamp.model_validate({"curve": curve, "drives": drives})
        assert schedule.at(0.5, full, {}) == expected


def test_the_default_ramp_grows_from_1_to_full() -> None:
    assert DepthRamp().at(0.0, FULL, {}) == (1, 1)
    assert DepthRamp().at(0.6, FULL, {}) == FULL
    assert DepthRamp(curve=Linear(start=1.0, end=0.0)).at(1.0, FULL, {}) == (1, 1)


def test_stages_and_segments_say_the_same_in_two_ways() -> None:
    parts = [{"H_cycles": 1, "L_cycles": 1}, {"H_cycles": 2}, {}, {"H_cycles": 99}]
    starts = [0.0, 0.25, 0.5, 0.75]
    stages = Stages(stages=[DepthStage(at=a, **p) for a, p in zip(starts, parts, strict=True)])
    segments = DepthSegments(segments=[DepthSegment(length=2.0, **part) for part in parts])
    expected = [(1, 1), (2, 6), (3, 6), (3, 6)]
    for schedule in (stages, segments):
        assert [schedule.at(start, FULL, {}) for start in starts] == expected
        assert [schedule.at(start + 0.24, FULL, {}) for start in starts] == expected


def test_competence_climbs_in_shares_of_the_depth() -> None:
    schedule = CompetenceDepth(levels=3, patience=1, threshold=0.9, deadline=None)
    state, seen = schedule.begin(), []
    for window in range(4):
        seen.append(schedule.at(window / 100, FULL, state))
        state = schedule.observe(state, Feedback(1.0, 0.9, 0.0), window / 100)
    assert seen == [(1, 2), (2, 4), (3, 6), (3, 6)]
    assert CompetenceDepth(drives="L").at(0.0, FULL, schedule.begin()) == (3, 2)


def test_halting_calibration_and_accuracy_drive_different_schedules() -> None:
    calibrated = Feedback(1.0, exact_accuracy=0.0, halt_accuracy=1.0)
    for schedule, level in ((HaltGrowthDepth(patience=1), 1), (CompetenceDepth(patience=1), 0)):
        assert schedule.observe(schedule.begin(), calibrated, 0.0)["level"] == level
