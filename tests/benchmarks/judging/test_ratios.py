"""Compute at equal regret, on curves whose ratio is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.benchmarks.judging.ratios import Curves, MeanCurve, compute_ratio, falling, ratio

BUDGETS = np.array([4.0, 8.0, 16.0, 32.0, 64.0])


def decline(budgets: np.ndarray, pace: float, worlds: int = 1, noise: float = 0.0) -> Curves:
    """Regret 1 - 0.1 log2 of `pace` times the compute, in so many worlds."""
    rng = np.random.default_rng(int(100 * pace))
    levels = rng.normal(0.0, noise, (worlds, 1))
    return Curves(budgets, 1 - 0.1 * np.log2(pace * budgets) + levels)


def test_a_method_that_is_k_times_as_quick_has_the_ratio_k() -> None:
    slow = MeanCurve.of(decline(BUDGETS, 1.0))
    for pace in (1.5, 2.0, 3.7):
        quick = MeanCurve.of(decline(BUDGETS, pace))
        assert compute_ratio(quick, slow, 64.0) == pytest.approx(pace)
        # The other way round the slow one never gets there, so its own end is what is compared.
        assert compute_ratio(slow, quick, 64.0) == pytest.approx(1 / pace)


def test_further_compute_of_the_other_counts() -> None:
    """Random search may be run on until it reaches what a quick method had early."""
    slow = MeanCurve.of(decline(np.array([4.0, 32.0, 64.0, 512.0]), 1.0))
    quick = MeanCurve.of(decline(BUDGETS, 6.0))
    assert 1 / compute_ratio(slow, quick, 32.0) == pytest.approx(6.0)
    beyond = MeanCurve.of(decline(BUDGETS, 100.0))
    assert slow.reaches(beyond.at(64.0)) == math.inf


def test_noise_that_rises_is_levelled_out() -> None:
    curves = Curves(BUDGETS, np.array([[0.8, 0.4, 0.6, 0.3, 0.1]]))
    mean = MeanCurve.of(curves)
    assert mean.regrets == pytest.approx([0.8, 0.5, 0.5, 0.3, 0.1])
    assert mean.reaches(0.5) == pytest.approx(8.0)
    assert mean.reaches(0.9) == 4.0


def test_levelling_is_isotonic_regression() -> None:
    from scipy.optimize import isotonic_regression

    curves = np.random.default_rng(0).normal(size=(50, 9))
    for curve, found in zip(curves, falling(curves), strict=True):
        assert found == pytest.approx(isotonic_regression(curve, increasing=False).x)


def test_the_interval_is_around_the_ratio_and_narrows_with_worlds() -> None:
    few, many = (
        ratio(decline(BUDGETS, 2.0, n, 0.1), decline(BUDGETS, 1.0, n, 0.1), 64.0, ["all"] * n, 400)
        for n in (30, 300)
    )
    for found in (few, many):
        assert found.low < found.ratio < found.high
    assert math.log(many.high / many.low) < 0.45 * math.log(few.high / few.low)


def test_worlds_are_drawn_together_and_within_their_strata() -> None:
    """What both methods have in common, and what strata differ by, is no uncertainty."""
    levels = np.repeat([0.0, 5.0], 10)[:, None]
    common = np.random.default_rng(0).normal(0, 0.3, (20, 1)) + levels
    quick, slow = (decline(BUDGETS, pace).regrets + common for pace in (2.0, 1.0))
    strata = ["easy"] * 10 + ["hard"] * 10
    found = ratio(Curves(BUDGETS, quick), Curves(BUDGETS, slow), 64.0, strata, 200)
    assert (found.low, found.high) == pytest.approx((2.0, 2.0))


def test_a_method_against_itself_is_within_its_interval_95_times_of_100() -> None:
    """The null test: other seeds of one method, whose regrets are noisy and partly shared."""
    rng = np.random.default_rng(1)
    held, logs = 0, []
    for _ in range(100):
        shared = rng.normal(0, 0.1, (40, 1))
        one, again = (
            Curves(BUDGETS, decline(BUDGETS, 1.0).regrets + shared + _walks(rng, 40))
            for _ in range(2)
        )
        found = ratio(one, again, 64.0, ["all"] * 40, 200)
        held += found.low <= 1.0 <= found.high
        logs.append(math.log(found.ratio))
    assert held >= 86
    assert abs(np.mean(logs)) < 3 * np.std(logs) / math.sqrt(len(logs))


def _walks(rng: np.random.Generator, worlds: int) -> np.ndarray:
    """Noise that stays along a sweep, as that of one incumbent does."""
    return 0.05 * np.cumsum(rng.normal(size=(worlds, len(BUDGETS))), axis=1)
