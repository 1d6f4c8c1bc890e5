"""Against scikit-learn's own process, and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from search.samplers.gaussian.process import (
    Fit,
    GaussianProcess,
    loss,
    most_likely,
    squared_distances,
)


def data(seed: int, count: int = 30, columns: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    points = rng.random((count, columns))
    return points, np.sin(5 * points[:, 0]) + points[:, 1] ** 2 + 0.1 * rng.standard_normal(count)


def fixed(points: np.ndarray, targets: np.ndarray, owner: np.ndarray, fit: Fit) -> GaussianProcess:
    first = GaussianProcess(points, targets, owner)
    first.fit = fit
    return GaussianProcess(points, targets, owner, like=first)


@pytest.mark.parametrize("seed", range(5))
def test_means_and_deviations_are_those_of_scikit_learn(seed: int) -> None:
    points, targets = data(seed)
    rng = np.random.default_rng(seed + 100)
    owner = np.array([0, 1, 1, 2])
    fit = Fit(rng.uniform(0.2, 3.0, 3), float(rng.uniform(0.01, 0.3)), float(rng.uniform(0.5, 2)))
    mine = fixed(points, targets, owner, fit)
    kernel = ConstantKernel(fit.signal, "fixed") * Matern(fit.scales[owner], "fixed", nu=2.5)
    mean, unit = targets.mean(), targets.std()
    theirs = GaussianProcessRegressor(kernel, alpha=fit.noise + 1e-8, optimizer=None)
    theirs.fit(points, (targets - mean) / unit)
    new = rng.random((50, 4))
    expected, deviation = theirs.predict(new, return_std=True)
    found = mine.posterior(new)
    np.testing.assert_allclose(found[0], expected * unit + mean, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found[1], deviation * unit, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_the_gradient_is_that_of_differences(seed: int) -> None:
    points, targets = data(seed, 12)
    targets = (targets - targets.mean()) / targets.std()
    squared = squared_distances(points, np.array([0, 0, 1, 2]))
    rng = np.random.default_rng(seed)
    logs, levels = rng.normal(-0.5, 0.7, 6), rng.standard_normal(12)
    shared = rng.random(12)
    extra = np.diag(rng.random(12)) + np.outer(shared, shared)
    _, gradient = loss(logs, squared, targets, extra, levels)
    for place in range(6):
        step = np.zeros(6)
        step[place] = 1e-5
        high = loss(logs + step, squared, targets, extra, levels)[0]
        low = loss(logs - step, squared, targets, extra, levels)[0]
        assert gradient[place] == pytest.approx((high - low) / 2e-5, rel=1e-4, abs=1e-5)


def test_targets_that_are_known_less_well_count_for_less() -> None:
    points, targets = data(1, 60)
    worse = np.arange(60) % 2 == 0
    noisy = targets + np.where(worse, np.random.default_rng(2).standard_normal(60), 0.0)
    owner, extra = np.arange(4), np.where(worse, 1.0, 0.0)
    mean, _ = GaussianProcess(points, noisy, owner, extra).posterior(points)
    blind, _ = GaussianProcess(points, noisy, owner).posterior(points)
    assert np.square(mean - targets).mean() < 0.6 * np.square(blind - targets).mean()


def test_noise_that_depends_on_the_level_is_learned() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((150, 2))
    clean = 2 * points[:, 0]
    targets = clean + np.where(clean > 1, 0.3, 0.02) * rng.standard_normal(150)
    process = GaussianProcess(points, targets, np.arange(2), varies=True)
    low, high = process.noise(np.array([0.3, 1.7]))
    assert high / low > 4
    _, deviation = process.posterior(np.array([[0.15, 0.5], [0.85, 0.5]]))
    assert deviation[1] > 1.5 * deviation[0]


def test_noise_and_what_matters_are_learned() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((80, 3))
    clean = np.sin(6 * points[:, 0])
    quiet = most_likely(points, clean / clean.std(), np.arange(3))
    noisy = clean + 0.7 * rng.standard_normal(80)
    loud = most_likely(points, (noisy - noisy.mean()) / noisy.std(), np.arange(3))
    assert quiet.noise < 0.01
    assert 0.2 < loud.noise < 0.8
    assert quiet.scales[0] < quiet.scales[1:].min() / 3


def test_believed_points_lower_the_uncertainty_and_keep_the_mean() -> None:
    points, targets = data(3)
    process = GaussianProcess(points, targets, np.arange(4))
    new = np.random.default_rng(5).random((3, 4))
    mean, deviation = process.posterior(new)
    after, less = process.believing(new).posterior(new)
    np.testing.assert_allclose(after, mean, atol=1e-6)
    assert (less < deviation).all()


def test_equal_targets_and_equal_points_are_no_trouble() -> None:
    points = np.full((6, 2), 0.5)
    mean, deviation = GaussianProcess(points, np.ones(6), np.arange(2)).posterior(points)
    np.testing.assert_allclose(mean, 1.0)
    assert np.isfinite(deviation).all()


def test_of_no_target_it_is_the_prior_and_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    points, _ = data(0, 3)
    owner = np.arange(4)
    process = GaussianProcess(points[:0], np.empty(0), owner, spread=0.5)
    mean, deviation = process.posterior(points)
    assert mean == pytest.approx(np.zeros(3))
    assert deviation == pytest.approx(np.full(3, 0.5 * np.sqrt(process.fit.signal)))
    assert process.foretold() == 0.0
    assert capfd.readouterr() == ("", "")
