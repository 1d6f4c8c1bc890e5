"""Against printed tables, by hand, and against what the intervals promise in simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from search.stats.averages import failure_rate, interquartile_mean, mean_interval, mean_of
from search.stats.spreads import Spread


def test_interquartile_mean_is_the_middle_half() -> None:
    rng = np.random.default_rng(0)
    for n in (4, 8, 20):
        scores = rng.random(n).tolist()
        assert interquartile_mean(scores) == pytest.approx(stats.trim_mean(scores, 0.25))
    # Three: the middle one whole, of the others the quarter of their third that is inside.
    assert interquartile_mean([0.1, 0.5, 1.0]) == pytest.approx((0.5 * 4 + 0.1 + 1.0) / 6)
    assert interquartile_mean([0.7]) == pytest.approx(0.7)
    assert interquartile_mean([0.2, 0.6]) == pytest.approx(0.4)
    # Every score as often again changes nothing.
    five = rng.random(5).tolist()
    assert interquartile_mean(five * 4) == pytest.approx(interquartile_mean(five))
    assert interquartile_mean([0.0, 0.9, 0.9, 0.9]) == pytest.approx(0.9), "one failure of four"


def test_the_interval_of_the_mean_is_students() -> None:
    scores = [0.4, 0.5, 0.6, 0.45]
    low, high = stats.ttest_1samp(scores, 0.0).confidence_interval(0.9)
    interval = mean_interval(scores, 0.9)
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert mean_interval([0.9, 1.0, 1.0]).high == 1.0
    assert (mean_interval([0.7]).low, mean_interval([0.7]).high) == (0.0, 1.0)
    known = mean_interval([0.7], spread=Spread(0.05, 4))
    assert known.high - 0.7 == pytest.approx(2.132 * 0.05, abs=1e-4)
    assert 0.0 < mean_interval([1.0, 1.0], examples=100).low < 1.0


# Clopper-Pearson by the binomial sums that define it.
@pytest.mark.parametrize(("failures", "seeds"), [(0, 3), (1, 5), (4, 4), (7, 20)])
def test_a_failure_rate_s_ends_leave_a_tail_each(failures: int, seeds: int) -> None:
    interval = failure_rate(failures, seeds, 0.9)
    if failures:
        assert stats.binom.sf(failures - 1, seeds, interval.low) == pytest.approx(0.05)
    else:
        assert interval.low == 0.0
    if failures < seeds:
        assert stats.binom.cdf(failures, seeds, interval.high) == pytest.approx(0.05)
    else:
        assert interval.high == 1.0


@pytest.mark.parametrize("seeds", [3, 8])
def test_a_failure_rate_covers_at_least_as_often_as_it_says_where_wilsons_does_not(
    seeds: int,
) -> None:
    counts = range(seeds + 1)
    ours = [failure_rate(k, seeds, 0.9) for k in counts]
    others = [stats.binomtest(k, seeds).proportion_ci(0.9, method="wilson") for k in counts]
    exact, wilson = [], []
    for rate in np.linspace(0.005, 0.995, 200):
        weights = stats.binom.pmf(counts, seeds, rate)
        exact.append(sum(w for e, w in zip(ours, weights, strict=True) if rate in e))
        inside = [e.low <= rate <= e.high for e in others]
        wilson.append(sum(w for i, w in zip(inside, weights, strict=True) if i))
    assert min(exact) >= 0.9
    assert min(wilson) < 0.88


def test_the_mean_of_few_values_has_an_interval_or_none() -> None:
    mean, interval = mean_of([0.1, 0.2, 0.3], 0.9)
    assert mean == pytest.approx(0.2)
    assert interval is not None
    assert interval.high == pytest.approx(0.2 + 2.920 * 0.1 / math.sqrt(3), abs=1e-4)
    assert mean_of([0.3]) == (0.3, None)
    assert mean_of([0.3, 0.3])[1] is None
