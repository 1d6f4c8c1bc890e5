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
        ratio(decline(BUDGETS, 2.0, n, 0.1), decline(BUDGETS, 1.0, n, 0.1), 64.0, ["all"] * n)
        for n in (30, 300)
    )
    for found in (few, many):
        assert found.low < found.ratio < found.high
    assert math.log(many.high / many.low) < 0.45 * math.log(few.high / few.low)


def test_worlds_are_paired_and_within_their_strata() -> None:
    """What both methods have in common, and what strata differ by, is no uncertainty."""
    levels = np.repeat([0.0, 5.0], 10)[:, None]
    common = np.random.default_rng(0).normal(0, 0.3, (20, 1)) + levels
    quick, slow = (decline(BUDGETS, pace).regrets + common for pace in (2.0, 1.0))
    # A part of the gap that belongs to the stratum: 0.1 more in one, 0.1 less in the other.
    quick += np.repeat([-0.1, 0.1], 10)[:, None]
    strata = ["easy"] * 10 + ["hard"] * 10
    found = ratio(Curves(BUDGETS, quick), Curves(BUDGETS, slow), 64.0, strata)
    assert (found.low, found.high) == pytest.approx((2.0, 2.0), rel=0.01)
    blind = ratio(Curves(BUDGETS, quick), Curves(BUDGETS, slow), 64.0, ["all"] * 20)
    assert blind.high > 2.5


def test_a_ratio_beyond_the_budgets_has_an_open_end() -> None:
    rng = np.random.default_rng(0)
    far, near = (
        Curves(BUDGETS, decline(BUDGETS, pace).regrets + rng.normal(0, 0.01, (20, 1)))
        for pace in (100.0, 1.0)
    )
    found = ratio(far, near, 64.0, ["all"] * 20)
    assert (found.low, found.high) == (16.0, math.inf)
    assert found.turned().low == 0.0
    assert ratio(near, far, 64.0, ["all"] * 20).low == 0.0


ROUNDS = 500
WORLDS = 60
TRIED = np.array([4, 8, 13, 19, 26, 37, 52])


def races(rng: np.random.Generator, worlds: int, pace: int = 1) -> np.ndarray:
    """Regret of the best seen of noisy draws from made-up worlds: steps, long flats, some rises.

    Four fifths of a world's configs are bad; how rare its good ones are is its own. Returns
    [methods, worlds, budgets]: two searches of plain draws in the same worlds, and one that sees
    `pace` times as many draws for its compute.
    """
    rarity = rng.uniform(1.0, 6.0, (worlds, 1))
    best = rng.uniform(0.6, 1.0, (worlds, 1))
    found = []
    for times in (1, 1, pace):
        draws = (worlds, times * int(TRIED[-1]))
        true = best * np.where(rng.random(draws) < 0.2, rng.random(draws) ** rarity, 0.0)
        seen = true + rng.normal(0, 0.1, draws) * np.sqrt(true)
        firsts = np.arange(draws[1])
        lead = np.maximum.accumulate(seen, axis=1)
        leader = np.maximum.accumulate(np.where(seen == lead, firsts, 0), axis=1)
        picked = np.take_along_axis(true, leader, axis=1)
        found.append(best - picked[:, times * TRIED - 1])
    return np.array(found)


def held(pace: int, truth: float) -> float:
    """In how many of `ROUNDS` repetitions an interval holds the true ratio."""
    rng = np.random.default_rng(3)
    found = [
        ratio(Curves(TRIED, other), Curves(TRIED, plain), 52.0, ["all"] * WORLDS)
        for plain, again, quick in (races(rng, WORLDS, pace) for _ in range(ROUNDS))
        for other in [again if pace == 1 else quick]
    ]
    return float(np.mean([one.low <= truth <= one.high for one in found]))


def test_a_method_against_itself_is_within_its_interval_95_times_of_100() -> None:
    assert 0.92 <= held(1, 1.0) <= 0.98


def test_a_method_twice_as_quick_is_within_its_interval_95_times_of_100() -> None:
    plain, _, quick = races(np.random.default_rng(0), 40_000, 2)
    truth = compute_ratio(
        MeanCurve.of(Curves(TRIED, quick)), MeanCurve.of(Curves(TRIED, plain)), 52.0
    )
    assert truth == pytest.approx(2.0, rel=0.1)
    assert 0.92 <= held(2, truth) <= 0.98
