"""Spreads against numpy, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from search.stats.spreads import (
    Spread,
    cautious_spreads,
    joined_spread,
    pooled_spread,
    resolution_sd,
    shrunken_spreads,
)


def drawn(rng: np.random.Generator) -> dict[int, list[float]]:
    """Two to six candidates of one to seven seeds; one has at least two."""
    sizes = [2, *rng.integers(1, 8, rng.integers(1, 6))]
    return {
        key: (rng.uniform(0.2, 0.8) + rng.exponential(0.1) * rng.uniform(-1, 1, int(n)))
        .clip(0, 1)
        .tolist()
        for key, n in enumerate(sizes)
    }


def test_pooled_spread_by_hand() -> None:
    # Squares about the means: 0.02 with 2 df, 0.005 with 1 df, none with 0 df.
    samples = {"a": [0.9, 0.8, 0.7], "b": [0.5, 0.6], "c": [0.1]}
    spread = pooled_spread(samples)
    assert spread.df == 3
    assert spread.sd == pytest.approx(math.sqrt(0.025 / 3))
    assert pooled_spread({"a": [0.5], "b": [0.1]}) == Spread(0.0, 0)


@pytest.mark.parametrize("examples", [None, 50])
def test_spreads_are_numpys(examples: int | None) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        samples = drawn(rng)
        n = np.array([len(scores) for scores in samples.values()])
        own = np.array([np.var(scores, ddof=1) if len(scores) > 1 else 0.0
                        for scores in samples.values()])  # fmt: skip
        pooled = np.average(own, weights=n - 1)
        assert pooled_spread(samples).sd == pytest.approx(math.sqrt(pooled))
        # A weighted mean of the own and the pooled variance, the pooled one as one more seed.
        wanted = np.sqrt((pooled + (n - 1) * own) / n)
        means = np.array([np.mean(scores) for scores in samples.values()])
        p = 0.0 if examples is None else (examples * np.abs(means) + 1) / (examples + 2)
        least = 0.0 * means if examples is None else np.sqrt(p * (1 - p) / examples)
        shrunken, cautious = (f(samples, examples) for f in (shrunken_spreads, cautious_spreads))
        for key in samples:
            assert shrunken[key].sd == pytest.approx(max(wanted[key], least[key]))
            assert shrunken[key].df == min(n[key], (n - 1).sum())
            both = [least[key], wanted[key], math.sqrt(pooled)]
            assert cautious[key].sd == pytest.approx(max(both))


def test_one_candidate_keeps_its_own_spread() -> None:
    for found in (
        shrunken_spreads({"a": [0.9, 0.7, 0.5]}),
        cautious_spreads({"a": [0.9, 0.7, 0.5]}),
    ):
        assert found["a"] == Spread(pytest.approx(0.2), 2)
    assert shrunken_spreads({"a": [0.9]}) == {"a": Spread(0.0, 0)}
    assert cautious_spreads({"a": [0.9], "b": [0.8]})["b"].df == 0


def test_a_noisy_candidate_is_told_from_quiet_ones() -> None:
    rng = np.random.default_rng(1)
    samples = {key: (rng.normal(0, sd, 8)).tolist() for key, sd in enumerate((2, 0.5, 0.5, 0.5))}
    found = shrunken_spreads(samples)
    assert found[0].sd > 1.5 * max(found[key].sd for key in (1, 2, 3))
    assert cautious_spreads(samples)[1].sd == pytest.approx(pooled_spread(samples).sd)


def test_resolution_sd_by_hand() -> None:
    # p = (10 * 1 + 1) / 12
    assert resolution_sd(1.0, 10) == pytest.approx(math.sqrt(11 / 12 * 1 / 12 / 10))
    assert resolution_sd(0.5, 10_000) == pytest.approx(0.005)
    assert resolution_sd(0.0, 100) == pytest.approx(resolution_sd(1.0, 100))


def test_joined_spread_is_numpys_about_each_sets_own_mean() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        promised, raced = (rng.normal(mean, 0.1, n).tolist() for mean, n in ((0.5, 3), (0.9, 5)))
        others = {key: rng.normal(0, 0.3, n).tolist() for key, n in enumerate((3, 1, 2))}
        squares = 3 * np.var(promised) + 0.5 * 5 * np.var(raced)
        prior = (3 * np.var(others[0]) + 2 * np.var(others[2])) / 3
        found = joined_spread(promised, raced, others)
        assert found == Spread(pytest.approx(math.sqrt((prior + squares) / 5)), 5)
        moved = [score + 0.3 for score in raced]
        assert joined_spread(promised, moved, others).sd == pytest.approx(found.sd)
        alone = joined_spread(promised, [], {})
        assert alone == Spread(pytest.approx(np.std(promised, ddof=1)), 2)
    assert joined_spread([0.5], [0.9], {"b": [0.4]}) == Spread(0.0, 0)
    assert joined_spread([0.5], [0.9], {"b": [0.4, 0.6]}).df == 1
