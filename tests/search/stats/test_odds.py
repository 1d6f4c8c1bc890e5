"""Probabilities against closed forms, brute force and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from search.stats.odds import probability_of_best, probability_of_improvement
from search.stats.separation import unresolved


def test_the_best_of_two_by_integration() -> None:
    """Each mean is Student's t about the seeds', with a spread between its own and the common."""
    rng = np.random.default_rng(4)
    for _ in range(5):
        a, b = rng.normal(0.5, 0.1, 3).tolist(), rng.normal(0.45, 0.05, 4).tolist()
        own = np.array([np.var(a, ddof=1), np.var(b, ddof=1)])
        pooled = (2 * own[0] + 3 * own[1]) / 5
        errors = np.sqrt((pooled + np.array([2, 3]) * own) / np.array([3, 4]) ** 2)
        first = stats.t(3, np.mean(a), errors[0])
        second = stats.t(4, np.mean(b), errors[1])
        exact, _ = integrate.quad(
            lambda x, f=first, s=second: f.pdf(x) * s.cdf(x), -4, 5, limit=200
        )
        found = probability_of_best({"a": a, "b": b})
        assert found["a"] == pytest.approx(exact, abs=0.012)
        assert sum(found.values()) == pytest.approx(1.0)
        assert found == probability_of_best({"a": a, "b": b})


def test_the_best_of_several_by_integration() -> None:
    """With very many seeds the means are normal: P(best) is an integral over its own mean."""
    rng = np.random.default_rng(0)
    n, means = 400, [0.5, 0.49, 0.47]
    samples = {key: rng.normal(mean, 0.1, n).tolist() for key, mean in enumerate(means)}
    seen = [np.mean(samples[key]) for key in range(3)]
    error = math.sqrt(np.mean([np.var(s, ddof=1) for s in samples.values()]) / n)
    grid = np.linspace(0.4, 0.6, 4001)
    for key in range(3):
        below = [stats.norm.cdf(grid, seen[i], error) for i in range(3) if i != key]
        exact = np.trapezoid(stats.norm.pdf(grid, seen[key], error) * np.prod(below, 0), grid)
        assert probability_of_best(samples)[key] == pytest.approx(exact, abs=0.015)


def test_a_candidate_of_fewer_seeds_is_less_sure() -> None:
    many = [0.75, 0.85] * 10
    sure = probability_of_best({"a": [0.85, 0.95] * 10, "b": many})["a"]
    assert 0.5 < probability_of_best({"a": [0.9], "b": many})["a"] < sure


def test_nothing_is_known_without_a_spread() -> None:
    assert probability_of_best({"a": [0.9], "b": [0.1]}) == {"a": 0.5, "b": 0.5}
    assert probability_of_best({"a": [0.9] * 3, "b": [0.1] * 3}, examples=100)["a"] > 0.99


def test_seeds_that_agree_exactly_leave_no_doubt() -> None:
    sizes = {"a": [-7e6] * 2, "b": [-5e6] * 3, "c": [-5e6] * 2}
    assert probability_of_best(sizes) == {"a": 0.0, "b": 0.5, "c": 0.5}
    del sizes["c"]
    assert probability_of_best(sizes) == {"a": 0.0, "b": 1.0}
    assert unresolved(sizes) == ["b"], "the race is as sure"


def test_improvement_is_mann_whitneys() -> None:
    rng = np.random.default_rng(3)
    a, b = (rng.integers(0, 6, n).astype(float).tolist() for n in (7, 9))
    expected = stats.mannwhitneyu(a, b).statistic / 63
    share, interval = probability_of_improvement(a, b)
    assert share == pytest.approx(expected)
    assert share in interval
    back, turned = probability_of_improvement(b, a)
    assert back == pytest.approx(1 - share)
    assert (turned.low, turned.high) == pytest.approx((1 - interval.high, 1 - interval.low))
    assert probability_of_improvement([0.5], [0.5])[0] == 0.5


def test_three_seeds_that_all_win_leave_room_for_doubt() -> None:
    share, interval = probability_of_improvement([0.9, 0.91, 0.92], [0.1, 0.2, 0.3])
    assert share == 1.0
    assert interval.high == 1.0
    assert 0.4 < interval.low < 0.8
    # The end solves its equation: z^2 v(t) = (1 - t)^2 with m = n = 3, k = 2.
    t, z = interval.low, 1.6449
    variance = t * (1 - t) * (1 + 2 * (1 - t) / (2 - t) + 2 * t / (1 + t)) / 9
    assert (1 - t) ** 2 == pytest.approx(z**2 * variance, rel=1e-3)
    assert probability_of_improvement([0.1] * 3, [0.9] * 3)[1].low == 0.0


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("n", [3, 8])
def test_its_interval_covers_about_as_often_as_it_says(n: int, shift: float) -> None:
    rng = np.random.default_rng(0)
    true = stats.norm.cdf(shift / math.sqrt(2))
    hits = [
        true in probability_of_improvement((a + shift).tolist(), b.tolist(), 0.9)[1]
        for a, b in rng.normal(0, 1, (500, 2, n))
    ]
    assert 0.86 <= np.mean(hits) <= 0.98
