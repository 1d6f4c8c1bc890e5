"""Who is behind: against scipy, and how often the best is dropped over all looks of a race."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from search.stats.race_rules import Entrant, Rules, next_seed
from search.stats.separation import look_level, unresolved


def test_unresolved_keeps_what_more_seeds_could_still_make_the_best() -> None:
    samples = {"best": [0.9, 0.92, 0.91], "close": [0.89, 0.91, 0.9], "far": [0.2, 0.22, 0.21]}
    assert unresolved(samples) == ["best", "close"]
    assert unresolved({**samples, "close": [0.5, 0.5, 0.5]}) == ["best"]
    assert unresolved({"a": [0.5], "b": [0.9]}) == ["b", "a"]
    assert unresolved({"a": [0.5, 0.6]}) == ["a"]


def test_one_seed_settles_nothing() -> None:
    """Neither of a candidate nor of the leader: how far its next one falls is unknown."""
    assert unresolved({"a": [0.9, 0.91, 0.9], "b": [0.1]}) == ["a", "b"]
    assert unresolved({"a": [0.9], "b": [0.1, 0.11, 0.1]}) == ["a", "b"]


def test_who_is_out_is_who_a_test_of_scipy_says() -> None:
    """With as many seeds each, summary statistics of scipy's unequal-variance test."""
    rng = np.random.default_rng(0)
    seen = {True: 0, False: 0}
    for _ in range(150):
        k, n, last = (int(rng.integers(*ends)) for ends in ((2, 6), (2, 7), (9, 12)))
        draws = rng.normal(rng.normal(0, 2, (k, 1)), rng.exponential(1, (k, 1)), (k, n))
        own = draws.var(axis=1, ddof=1)
        sds = np.sqrt((own.mean() + (n - 1) * own) / n)
        means = draws.mean(axis=1)
        leader = int(means.argmax())
        level = look_level(0.1 / (k - 1), 8, last)
        open_ones = []
        for key in range(k):
            # As scipy's has n - 1 df of each, ours n: both of the same v are in proportion.
            df = min(_welch(sds[leader], sds[key], n) * n / (n - 1), k * (n - 1))
            gap = (means[leader] - means[key]) / math.sqrt((sds[leader] ** 2 + sds[key] ** 2) / n)
            if key == leader or stats.t.sf(gap, df) >= level:
                open_ones.append(key)
            seen[key in open_ones] += key != leader
        found = unresolved(dict(enumerate(draws.tolist())), 0.9, looks=(8, last))
        assert sorted(found) == open_ones
        assert found[0] == leader
    assert min(seen.values()) > 50


def _welch(first: float, second: float, n: int) -> float:
    """Welch's df by a sample whose spread is `first` and one whose spread is `second`."""
    shape = stats.norm.ppf((np.arange(n) + 0.5) / n)
    shape = (shape - shape.mean()) / shape.std(ddof=1)
    return float(stats.ttest_ind(shape * first, shape * second, equal_var=False).df)


@pytest.mark.parametrize(
    ("first", "last"), [(6, 9), (8, 16), (8, 40), (2, 30), (90, 400), (20, 200)]
)
@pytest.mark.parametrize("error", [0.0333, 0.1])
def test_all_looks_together_err_as_often_as_they_may(first: int, last: int, error: float) -> None:
    """A random walk that is looked at after each step."""
    rng = np.random.default_rng(2)
    z, walks = stats.norm.isf(look_level(error, first, last)), 10_000
    steps = rng.normal(size=(walks, last - first))
    path = rng.normal(0, math.sqrt(first), (walks, 1))
    path = np.concatenate([path, path + np.cumsum(steps, axis=1)], axis=1)
    hits = (path > z * np.sqrt(np.arange(first, last + 1))).any(axis=1).mean()
    assert hits == pytest.approx(error, abs=4 * math.sqrt(error / walks))


def test_a_single_look_has_the_whole_level_and_longer_races_lower_ones() -> None:
    assert look_level(0.05, 7, 7) == 0.05
    levels = [look_level(0.05, 6, last) for last in (6, 7, 9, 40, 1000)]
    assert levels == sorted(levels, reverse=True)
    for error in (1e-6, 0.5, 0.9):
        for last in (3, 40):
            assert 0 < look_level(error, 2, last) < error


def test_two_looks_are_a_bivariate_normal() -> None:
    """Pocock's z of two looks, from scipy's joint distribution."""
    z = stats.norm.isf(look_level(0.05, 10, 11))
    correlation = math.sqrt(10 / 11)
    both = stats.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]]).cdf([z, z])
    assert 1 - both == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize(
    ("sds", "budget", "most"),
    [
        ((1.0, 1.0, 1.0, 1.0), 40, 0.1),
        ((2.0, 0.5, 0.5, 0.5), 16, 0.1),
        ((2.0, 0.5, 0.5, 0.5), 40, 0.1),
        ((0.1, 1.0, 1.0, 1.0), 16, 0.1),
        ((1.0, 1.0, 1.0), 9, 0.1),
        # Two seeds each cannot tell a spread of 20 times another's.
        ((2.0, 0.1, 0.1), 9, 0.16),
    ],
)
def test_of_equal_ones_none_is_dropped_more_often_than_the_race_says(
    sds: tuple[float, ...], budget: int, most: float
) -> None:
    """Looked at after each run: how often each is out at the end, whichever counts as the best."""
    rng = np.random.default_rng(3)
    rules, races = Rules(seeds=2, budget=budget, max_seeds=budget), 150
    out = np.zeros(len(sds))
    for _ in range(races):
        scores = rng.normal(0, 1, (len(sds), budget)) * np.array(sds)[:, None]
        given = dict.fromkeys(range(len(sds)), 0)
        while True:
            samples = {key: scores[key, :n].tolist() for key, n in given.items()}
            chosen = next_seed({key: Entrant(s) for key, s in samples.items()}, rules)
            if chosen is None:
                break
            given[chosen] += 1
        left = rules.left(samples)
        out += [key not in left for key in range(len(sds))]
    assert (out / races).max() <= most + 2.5 * math.sqrt(most / races)


def test_a_spread_that_depends_on_the_mean_hides_no_difference() -> None:
    """Configs near 0.9 spread by 0.05 and those near 0.5 by 0.14, as in a recording."""
    close = {0: [0.93, 0.94, 0.95, 0.94], 1: [0.80, 0.81, 0.79, 0.80]}
    noisy = {2: [0.3, 0.6, 0.5, 0.7], 3: [0.6, 0.3, 0.45, 0.2]}
    assert unresolved({**close, **noisy}) == [0]
    assert unresolved({0: close[0], 2: [0.5, 0.99, 0.7, 0.98]}) == [0, 2]
