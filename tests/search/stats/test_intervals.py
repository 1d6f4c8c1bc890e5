"""Intervals against numbers worked out by hand, and against what they promise in simulation."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats

from search.stats.intervals import (
    difference,
    for_each,
    prediction_interval,
    robust_scores,
    share_interval,
)
from search.stats.spreads import Spread, resolution_sd

WIDE = (-math.inf, math.inf)
# Quantiles of Student's t from printed tables (Hahn & Meeker, table A.2).
T_90_ONE_SIDED = {2: 1.886, 4: 1.533}
T_95_ONE_SIDED = {2: 2.920, 4: 2.132}


def test_robust_scores_by_hand() -> None:
    # The lucky one's own s^2 is 0.02 / 2; shrunken (0.00505 + 0.02) / 3 with 3 df, which is wider
    # than the pooled 0.0202 / 4; the steady one's pooled spread, with 4 df, is the wider.
    samples = {"lucky": [0.9, 0.8, 0.7], "steady": [0.77, 0.78, 0.79]}
    scores = robust_scores(samples, confidence=0.9, further=2)
    level = math.sqrt(0.9)
    wide = stats.t.ppf(level, 3) * math.sqrt((0.00505 + 0.02) / 3)
    narrow = stats.t.ppf(level, 4) * math.sqrt(0.00505)
    assert scores["lucky"].lower == pytest.approx(0.8 - wide / math.sqrt(3))
    assert scores["steady"].lower == pytest.approx(0.78 - narrow / math.sqrt(3))
    assert scores["steady"].foreseen == pytest.approx(0.78 - narrow * math.sqrt(1 / 3 + 1 / 2))
    assert (scores["lucky"].mean, scores["lucky"].seeds) == (pytest.approx(0.8), 3)
    assert scores["lucky"].sd == pytest.approx(0.1)
    assert scores["steady"].sd == pytest.approx(0.01)


def test_a_candidate_alone_has_students_bound() -> None:
    scores = [0.9, 0.8, 0.7]
    margin = T_90_ONE_SIDED[2] * 0.1 / math.sqrt(3)
    assert robust_scores({"a": scores})["a"].lower == pytest.approx(0.8 - margin, abs=2e-4)
    assert for_each(0.9, 1) == 0.9


def test_more_seeds_raise_the_bound_and_failures_lower_it() -> None:
    scores = robust_scores(
        {"few": [0.8, 0.82], "many": [0.8, 0.82] * 4, "fails": [0.9, 0.9, 0.0]}, examples=500
    )
    assert scores["many"].lower > scores["few"].lower > scores["fails"].lower
    assert scores["fails"].mean == pytest.approx(0.6)


def test_unknown_spread_gives_the_lowest_bound_not_the_mean() -> None:
    for samples in ({"a": [0.9], "b": [0.5]}, {"a": [0.9, 0.9], "b": [0.5, 0.5]}):
        scores = robust_scores(samples)
        assert [scores[key].lower for key in "ab"] == [0.0, 0.0]
        assert max(scores, key=lambda key: (scores[key].lower, scores[key].mean)) == "a"
    known = robust_scores({"a": [0.9, 0.9], "b": [0.5, 0.5]}, examples=100)
    assert 0.8 < known["a"].lower < 0.9


def test_bounds_cut_the_lower_bound() -> None:
    samples = {"a": [0.0, 0.1, 0.0]}
    assert robust_scores(samples)["a"].lower == 0.0
    assert robust_scores(samples, bounds=WIDE)["a"].lower < 0.0


def test_the_bounds_hold_at_once_and_so_for_the_one_that_is_chosen() -> None:
    """Of equal candidates the luckiest wins, which is the hardest case for its bound."""
    rng = np.random.default_rng(0)
    at_once, chosen, foreseen, alone = [], [], [], []
    for draw in rng.normal(0, 1, (2500, 3, 6)):
        scores = robust_scores(dict(enumerate(draw[:, :3].tolist())), 0.9, WIDE, further=3)
        best = max(scores, key=lambda key: scores[key].lower)
        at_once.append(all(score.lower <= 0 for score in scores.values()))
        chosen.append(scores[best].lower <= 0)
        foreseen.append(scores[best].foreseen <= draw[best, 3:].mean())
        pooled = math.sqrt(np.var(draw[:, :3], axis=1, ddof=1).mean() / 3)
        alone.append(draw[:, :3].mean(axis=1).max() - stats.t.ppf(0.9, 6) * pooled <= 0)
    assert 0.9 <= np.mean(at_once) <= 0.96
    assert np.mean(chosen) >= np.mean(at_once)
    assert np.mean(foreseen) >= 0.9
    assert np.mean(alone) < 0.8, "a bound of each for itself does not hold for the chosen one"


def test_prediction_interval_by_hand() -> None:
    interval = prediction_interval([0.4, 0.5, 0.6], 0.9)
    margin = T_95_ONE_SIDED[2] * 0.1 * math.sqrt(4 / 3)
    assert interval.low == pytest.approx(0.5 - margin, abs=1e-4)
    assert interval.high == pytest.approx(0.5 + margin, abs=1e-4)
    assert interval.width == pytest.approx(2 * margin, abs=2e-4)
    assert 0.5 in interval
    assert interval.high in interval
    assert 0.9 not in interval


def test_prediction_interval_is_cut_at_the_bounds() -> None:
    interval = prediction_interval([0.9, 0.95, 1.0])
    assert interval.high == 1.0
    assert prediction_interval([0.9, 0.95, 1.0], bounds=WIDE).high > 1.0
    assert prediction_interval([0.9, 0.95, 1.0], bounds=WIDE).low == interval.low


@pytest.mark.parametrize("n", [3, 5])
def test_a_fresh_seed_falls_inside_as_often_as_it_says(n: int) -> None:
    rng = np.random.default_rng(n)
    draws = rng.normal(0.7, 0.05, (20_000, n + 1))
    hits = [row[n] in prediction_interval(row[:n], 0.9, WIDE) for row in draws.tolist()]
    assert 0.88 <= np.mean(hits) <= 0.92


def test_a_bootstrap_of_the_mean_would_have_promised_too_much() -> None:
    """Why not: resampled means of three seeds cover a fresh seed far too rarely."""
    rng = np.random.default_rng(0)
    hits = []
    for row in rng.normal(0, 1, (1000, 4)):
        means = rng.choice(row[:3], (200, 3)).mean(axis=1)
        hits.append(np.quantile(means, 0.05) <= row[3] <= np.quantile(means, 0.95))
    assert np.mean(hits) < 0.5


def test_one_seed_needs_a_spread_from_elsewhere() -> None:
    assert prediction_interval([0.7]) == prediction_interval([0.7], examples=100)
    assert (prediction_interval([0.7]).low, prediction_interval([0.7]).high) == (0.0, 1.0)
    interval = prediction_interval([0.5], 0.9, spread=Spread(0.05, 4))
    assert interval.high - 0.5 == pytest.approx(T_95_ONE_SIDED[4] * 0.05 * math.sqrt(2), abs=1e-4)


def test_seeds_that_agree_exactly_promise_no_zero_width() -> None:
    for value in (1.0, 0.3, 0.0):
        assert prediction_interval([value] * 3) == prediction_interval([0.5])
    small, large = (prediction_interval([1.0] * 3, examples=m) for m in (50, 1000))
    assert small.high == large.high == 1.0
    assert 0.0 < small.low < large.low < 1.0
    margin = T_95_ONE_SIDED[2] * resolution_sd(1.0, 50) * math.sqrt(4 / 3)
    assert small.low == pytest.approx(1.0 - margin, abs=1e-3)
    # No cliff: a spread of one example is not trusted more than no spread at all.
    assert prediction_interval([1.0, 1.0, 0.999], examples=1000).width >= large.width


def test_exact_ties_of_a_binomial_share_are_covered() -> None:
    rng = np.random.default_rng(1)
    hits = []
    for row in rng.binomial(200, 0.995, (4000, 4)) / 200:
        hits.append(row[3] in prediction_interval(row[:3].tolist(), 0.9, examples=200))
    assert np.mean(hits) >= 0.9


def test_a_score_that_is_not_finite_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        prediction_interval([0.5, math.nan])
    with pytest.raises(AssertionError):
        robust_scores({"a": []})


A, B = [0.9, 0.92, 0.88], [0.85, 0.9, 0.8, 0.7]


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.99])
def test_a_difference_is_welchs(confidence: float) -> None:
    found = difference(A, B, confidence)
    expected = stats.ttest_ind(A, B, equal_var=False)
    interval = expected.confidence_interval(confidence)
    assert found.df == pytest.approx(expected.df)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.mean == pytest.approx(0.9 - 0.8125)
    assert found.settled == (expected.pvalue < 1 - confidence)


def test_a_difference_turns_with_the_direction_and_the_order() -> None:
    one, other = difference(A, B), difference(B, A)
    assert (other.mean, other.low, other.high) == pytest.approx((-one.mean, -one.high, -one.low))
    assert other.wins == pytest.approx(1.0 - (one.wins or 0.0), abs=1e-4)
    turned = difference(A, B, maximize=False)
    assert (turned.low, turned.high, turned.seeds) == (other.low, other.high, other.seeds)
    assert turned.wins == pytest.approx(other.wins)


def test_wins_is_the_share_of_pairs_of_fresh_seeds() -> None:
    rng = np.random.default_rng(0)
    n = 400_000
    first = np.mean(A) + np.std(A, ddof=1) * math.sqrt(4 / 3) * rng.standard_t(2, n)
    second = np.mean(B) + np.std(B, ddof=1) * math.sqrt(5 / 4) * rng.standard_t(3, n)
    assert difference(A, B).wins == pytest.approx(np.mean(first > second), abs=0.003)


def test_so_many_seeds_would_settle_it_and_fewer_would_not() -> None:
    found = difference(A, B, 0.9)
    sds = [float(np.std(scores, ddof=1)) for scores in (A, B)]

    def low(n: int) -> float:
        about = stats.ttest_ind_from_stats(found.mean, sds[0], n, 0.0, sds[1], n, equal_var=False)
        return float(about.pvalue)

    assert found.seeds is not None
    assert low(found.seeds) < 0.1 <= low(found.seeds - 1)
    assert difference([0.5, 0.7], [0.5, 0.7]).seeds is None


def test_without_a_spread_a_difference_is_open() -> None:
    for first, second in (([0.9], [0.1, 0.2]), ([0.9, 0.9], [0.1, 0.1])):
        found = difference(first, second)
        assert (found.low, found.high, found.df) == (-math.inf, math.inf, 0.0)
        assert (found.wins, found.seeds, found.settled) == (None, None, False)
    # The examples of an evaluation say how far seeds that agree can be trusted.
    known = difference([0.9, 0.9], [0.1, 0.1], examples=100)
    assert known.settled
    margin = T_95_ONE_SIDED[2] * math.sqrt(resolution_sd(0.9, 100) ** 2 / 2 * 2)
    assert known.high - known.mean == pytest.approx(margin, rel=0.01)


@pytest.mark.parametrize(("right", "examples"), [(0, 20), (7, 20), (100, 200), (499, 500), (3, 3)])
@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.99])
def test_the_interval_of_a_share_is_wilsons(right: int, examples: int, confidence: float) -> None:
    found = share_interval(right / examples, examples, confidence)
    # Both ends solve (p - share)^2 = z^2 p (1 - p) / n.
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    for end in (found.low, found.high):
        distance = (end - right / examples) ** 2
        assert distance == pytest.approx(z**2 * end * (1 - end) / examples, abs=1e-12)
    assert found.low <= right / examples <= found.high
