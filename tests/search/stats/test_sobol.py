"""Sobol's indices on functions whose indices are known, with noise, and their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import sobol_indices, uniform

from search.stats.sobol import indices, noise_of, saltelli


def cube(function: Callable[[np.ndarray], np.ndarray], count: int, dimensions: int) -> np.ndarray:
    return np.stack([function(matrix) for matrix in saltelli(count, dimensions)])


def ishigami(x: np.ndarray) -> np.ndarray:
    a, b, c = (2 * math.pi * x - math.pi).T
    return np.sin(a) + 7 * np.sin(b) ** 2 + 0.1 * c**4 * np.sin(a)


def test_ishigamis_indices_are_exact() -> None:
    found = indices(cube(ishigami, 4096, 3))
    # Ishigami & Homma (1990), a = 7, b = 0.1.
    assert [i.first.value for i in found] == pytest.approx([0.3139, 0.4424, 0.0], abs=0.015)
    assert [i.total.value for i in found] == pytest.approx([0.5576, 0.4424, 0.2437], abs=0.015)
    for index, exact in zip(
        found, [(0.3139, 0.5576), (0.4424, 0.4424), (0.0, 0.2437)], strict=True
    ):
        assert index.first.low - 0.01 < exact[0] < index.first.high + 0.01
        assert index.total.low - 0.01 < exact[1] < index.total.high + 0.01
    # The same function by another implementation.
    reference = sobol_indices(
        func=lambda x: ishigami(x.T), n=4096, dists=[uniform()] * 3,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert [i.first.value for i in found] == pytest.approx(reference.first_order, abs=0.03)
    assert [i.total.value for i in found] == pytest.approx(reference.total_order, abs=0.03)


def test_the_g_functions_indices_are_exact() -> None:
    a = np.array([0.0, 1.0, 4.5, 9.0])
    found = indices(cube(lambda x: np.prod((np.abs(4 * x - 2) + a) / (1 + a), axis=1), 8192, 4))
    parts = 1 / (3 * (1 + a) ** 2)  # Sobol (1993): V_i; V = prod(1 + V_i) - 1
    whole = np.prod(1 + parts) - 1
    total = parts * np.prod(1 + parts) / (1 + parts) / whole
    assert [i.first.value for i in found] == pytest.approx(parts / whole, abs=0.02)
    assert [i.total.value for i in found] == pytest.approx(total, abs=0.02)


def test_noise_between_seeds_is_no_parameter() -> None:
    rng = np.random.default_rng(1)
    clean = cube(ishigami, 2048, 3)
    runs = clean[..., None] + rng.normal(0, 4, (*clean.shape, 2))
    means = runs.mean(axis=2)
    noise = noise_of([list(scores) for scores in runs.reshape(-1, 2)])
    assert noise == pytest.approx(16 / 2, rel=0.05)
    naive, fair = indices(means), indices(means, noise)
    assert naive[2].total.value > 0.45, "noise looks like an interaction of everything"
    assert [i.total.value for i in fair] == pytest.approx([0.5576, 0.4424, 0.2437], abs=0.08)
    assert [i.first.value for i in fair] == pytest.approx([0.3139, 0.4424, 0.0], abs=0.08)


def test_points_that_are_one_config_differ_by_no_noise() -> None:
    # y = x1 and noise; x2 has two options and does nothing.
    rng = np.random.default_rng(3)
    drawn = saltelli(4096, 2)
    drawn[..., 1] = drawn[..., 1] >= 0.5
    _, which = np.unique(drawn.reshape(-1, 2), axis=0, return_inverse=True)
    configs = which.reshape(drawn.shape[:2])
    values = drawn[..., 0] + rng.normal(0, 0.5, configs.max() + 1)[configs]
    naive = indices(values, 0.25)
    assert naive[0].first.value > 2, "half of the time b and the mixed point are one run"
    assert naive[1].total.value < -1, "and half of the time a and the mixed point are"
    found = indices(values, 0.25, configs=configs)
    assert [i.first.value for i in found] == pytest.approx([1.0, 0.0], abs=0.35)
    assert [i.total.value for i in found] == pytest.approx([1.0, 0.0], abs=0.35)


def test_a_few_configs_hold_less_of_the_noise_than_as_many_points() -> None:
    # y = 2 x1 and noise, two options each: four configs, however many rows. Over their draws the
    # variance of four noisy values is that of the clean ones and three quarters of the noise.
    drawn = saltelli(16, 2) >= 0.5
    configs = drawn @ [2, 1]
    rng = np.random.default_rng(5)
    found = [
        indices(2.0 * drawn[..., 0] + noise[configs], 0.09, configs=configs)
        for noise in rng.normal(0, 0.3, (400, 4))
    ]
    # With all of the noise taken out it is 1.028.
    assert np.mean([one[0].first.value for one in found]) == pytest.approx(1.0, abs=0.015)
    assert np.mean([one[0].total.value for one in found]) == pytest.approx(1.0, abs=0.015)


def test_intervals_hold_the_exact_value_as_often_as_they_say() -> None:
    # y = 2 x1 + x2 with random designs: first order 0.8 and 0.2.
    held, rng = 0, np.random.default_rng(2)
    for repeat in range(60):
        a, b = rng.random((2, 64, 2))
        matrices = [a, b, np.stack([b[:, 0], a[:, 1]], 1), np.stack([a[:, 0], b[:, 1]], 1)]
        found = indices(np.stack([m @ [2.0, 1.0] for m in matrices]), seed=repeat)
        held += found[0].total.low <= 0.8 <= found[0].total.high
    assert 44 <= held <= 60


def test_more_rows_begin_with_the_same_ones() -> None:
    assert (saltelli(8, 3) == saltelli(16, 3)[:, :8]).all()
    a, b, *mixed = saltelli(8, 3)
    for index, matrix in enumerate(mixed):
        assert (matrix[:, index] == b[:, index]).all()
        rest = [i for i in range(3) if i != index]
        assert (matrix[:, rest] == a[:, rest]).all()
