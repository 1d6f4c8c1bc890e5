"""Halting quality against its definitions, taken one answer at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm.learning.halting_quality import BINS, auc, calibration_error, coverage

answers = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=30)


@given(answers)
def test_auc_is_the_share_of_ordered_pairs(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([s for s, _ in rows], dtype=np.float64)
    right = np.array([r for _, r in rows])
    pairs = [
        1.0 if a > b else 0.5 if a == b else 0.0 for a in scores[right] for b in scores[~right]
    ]
    assert auc(scores, right) == pytest.approx(np.mean(pairs) if pairs else 0.5)


def test_a_score_that_is_not_finite_ranks_nothing() -> None:
    assert auc(np.array([np.nan, 1.0]), np.array([True, False])) == 0.5


@given(
    st.lists(
        st.tuples(st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.2, 1.0])), st.booleans()),
        min_size=1, max_size=40,
    )
)  # fmt: skip
def test_calibration_error_is_the_weighted_gap_of_the_bins(rows: list[tuple[float, bool]]) -> None:
    expected = 0.0
    for index in range(BINS):
        inside = [
            (chance, right)
            for chance, right in rows
            if index <= chance * BINS < index + 1 or (index == BINS - 1 and chance == 1.0)
        ]
        if inside:
            stated = sum(chance for chance, _ in inside) / len(inside)
            came = sum(right for _, right in inside) / len(inside)
            expected += len(inside) / len(rows) * abs(came - stated)
    found = calibration_error(np.array([c for c, _ in rows]), np.array([r for _, r in rows]))
    assert found == pytest.approx(expected, abs=1e-12)


def test_calibration_that_is_known() -> None:
    right = np.array([True, False] * 50)
    assert calibration_error(np.full(100, 0.5), right) == pytest.approx(0.0)
    assert calibration_error(right.astype(np.float64), right) == 0.0
    assert calibration_error(1.0 - right, right) == 1.0
    assert calibration_error(np.array([math.nan, 0.5]), right[:2]) == 1.0


@given(answers, st.sampled_from([0.5, 2 / 3, 0.9, 0.99, 1.0]))
def test_coverage_is_the_best_of_all_thresholds(
    rows: list[tuple[int, bool]], precision: float
) -> None:
    best, at = 0.0, math.inf
    for threshold, _ in rows:
        taken = [right for score, right in rows if score >= threshold]
        if sum(taken) >= precision * len(taken) - 1e-9 and len(taken) / len(rows) > best:
            best, at = len(taken) / len(rows), threshold
    scores = np.array([score for score, _ in rows], dtype=np.float64)
    found = coverage(scores, np.array([right for _, right in rows]), precision)
    assert found.share == pytest.approx(best)
    assert found.threshold == at


def test_ties_are_answered_together_or_not_at_all() -> None:
    scores = np.array([2.0, 1.0, 1.0])
    assert coverage(scores, np.array([True, True, False]), 0.99).share == pytest.approx(1 / 3)
    assert coverage(scores, np.array([False, True, True]), 0.99).share == 0.0
    assert coverage(np.array([math.nan, 1.0]), np.array([True, True])).share == 0.0
    # An infinite logit is one that a diverging model may well have, and it ranks.
    assert coverage(np.array([math.inf, 1.0]), np.array([True, False])).share == 0.5
