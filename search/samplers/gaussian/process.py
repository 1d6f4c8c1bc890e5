"""Gaussian process regression with a length scale for each parameter and noise that is learned.

Rasmussen and Williams, "Gaussian Processes for Machine Learning" (MIT Press 2006), chapters 2 and
5: Matern 5/2 kernel (equation 4.17), marginal likelihood and its gradient (equations 5.8 and 5.9).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SCALE_MEAN, _SCALE_SPREAD = -0.7, 1.0
"""Of the log length scales' prior, to whose mean log(parameters) / 2 is added, as distances grow
with it: Hvarfner, Hellsten and Nardi, "Vanilla Bayesian Optimization Performs Great in High
Dimensions" (ICML 2024, arXiv 2402.02229, section 5), whose wider prior around longer scales takes a
parameter that the best candidates share for one that does not matter."""
_NOISE_MEAN, _NOISE_SPREAD = -3.5, 1.5
"""Of the log noise variance's prior, in units of the targets' variance."""
_SIGNAL_SPREAD = 0.5
"""Of the log signal variance's prior around 0."""
_LOW_SCALE, _HIGH_SCALE = -4.0, 5.0
_LOW_NOISE, _HIGH_NOISE = -12.0, 1.0
_STEPS = 40
_JITTER = 1e-8


@dataclass(frozen=True)
class Fit:
    """Hyperparameters.

    Attributes:
        scales: a length scale for each parameter.
        noise: variance of the targets' noise, in units of their variance.
        signal: variance of the function, likewise.
    """

    scales: FloatArray
    noise: float
    signal: float


class GaussianProcess:
    """What some targets say of all points.

    Args:
        points: `[n, columns]`.
        targets: `[n]`, more is better.
        owner: the parameter that each column belongs to, `[columns]`.
        like: a process whose hyperparameters and units to take; None finds the most likely ones,
            from one start, so that the same data give the same.
    """

    def __init__(
        self,
        points: FloatArray,
        targets: FloatArray,
        owner: IntArray,
        like: GaussianProcess | None = None,
    ) -> None:
        self._points, self._owner = points, owner
        self._mean: float = float(targets.mean()) if like is None else like._mean
        self._unit: float = (float(targets.std()) or 1.0) if like is None else like._unit
        self._targets = (targets - self._mean) / self._unit
        self.fit: Fit = most_likely(points, self._targets, owner) if like is None else like.fit
        kernel = self._kernel(points, points)
        kernel[np.diag_indices(len(points))] += self.fit.noise + _JITTER
        self._root = np.linalg.cholesky(kernel)
        self._weights = cho_solve((self._root, True), self._targets)

    def posterior(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the function, without noise, at points `[m, columns]`."""
        cross = self._kernel(points, self._points)
        half = solve_triangular(self._root, cross.T, lower=True)
        variance = np.maximum(self.fit.signal - np.square(half).sum(axis=0), 1e-12)
        mean = cross @ self._weights
        return mean * self._unit + self._mean, np.sqrt(variance) * self._unit

    def believing(self, points: FloatArray) -> GaussianProcess:
        """As if its own means had been seen at further points: what runs is not proposed again.

        Ginsbourger, Le Riche and Carraro, "Kriging is well-suited to parallelize optimization"
        (2010), the kriging believer.
        """
        believed, _ = self.posterior(points)
        seen = self._targets * self._unit + self._mean
        return GaussianProcess(
            np.concatenate([self._points, points]),
            np.concatenate([seen, believed]),
            self._owner,
            like=self,
        )

    def _kernel(self, left: FloatArray, right: FloatArray) -> FloatArray:
        scales = self.fit.scales[self._owner]
        a, b = left / scales, right / scales
        squared = np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2.0 * a @ b.T
        return self.fit.signal * _matern(np.maximum(squared, 0.0))[0]


def most_likely(points: FloatArray, targets: FloatArray, owner: IntArray) -> Fit:
    """The hyperparameters of highest posterior density for standardised targets `[n]`."""
    squared = squared_distances(points, owner)
    count = len(squared)
    start = np.concatenate([np.full(count, math.log(0.5)), [math.log(0.05), 0.0]])
    bounds = [(_LOW_SCALE, _HIGH_SCALE)] * count
    bounds += [(_LOW_NOISE, _HIGH_NOISE), (-4.0, 3.0)]
    found = minimize(
        lambda logs: loss(logs, squared, targets),
        start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS},
    ).x  # fmt: skip
    return Fit(np.exp(found[:count]), float(np.exp(found[count])), float(np.exp(found[-1])))


def squared_distances(points: FloatArray, owner: IntArray) -> FloatArray:
    """By parameter, `[parameters, n, n]`."""
    count = int(owner[-1]) + 1
    found = np.zeros((count, len(points), len(points)))
    for column, parameter in enumerate(owner):
        found[parameter] += np.square(points[:, column, None] - points[None, :, column])
    return found


def loss(logs: FloatArray, squared: FloatArray, targets: FloatArray) -> tuple[float, FloatArray]:
    """Negative log posterior density, but for a constant, and its gradient.

    Args:
        logs: log length scales, log noise variance, log signal variance, `[parameters + 2]`.
        squared: `[parameters, n, n]`.
        targets: `[n]`.
    """
    count, size = len(squared), len(targets)
    shrink = np.exp(-2.0 * logs[:count])
    noise, signal = math.exp(logs[count]), math.exp(logs[-1])
    correlation, slope = _matern(np.tensordot(shrink, squared, 1))
    kernel = signal * correlation
    kernel[np.diag_indices(size)] += noise + _JITTER
    try:
        root = np.linalg.cholesky(kernel)
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(logs)
    inverse = cho_solve((root, True), np.eye(size))
    weights = inverse @ targets
    pull = np.outer(weights, weights) - inverse
    away = np.empty_like(logs)
    away[:count] = (logs[:count] - _SCALE_MEAN - math.log(count) / 2) / _SCALE_SPREAD
    away[count] = (logs[count] - _NOISE_MEAN) / _NOISE_SPREAD
    away[-1] = logs[-1] / _SIGNAL_SPREAD
    value = targets @ weights / 2 + np.log(np.diag(root)).sum() + np.square(away).sum() / 2
    gradient = np.empty_like(logs)
    # d squared / d log scale = -2 shrink squared_k, and `slope` is d correlation / d squared.
    gradient[:count] = shrink * np.tensordot(squared, signal * slope * pull, 2)
    gradient[count] = -noise * np.trace(pull) / 2
    gradient[-1] = -signal * np.sum(pull * correlation) / 2
    spreads = np.full_like(logs, _SCALE_SPREAD)
    spreads[count], spreads[-1] = _NOISE_SPREAD, _SIGNAL_SPREAD
    return float(value), gradient + away / spreads


def _matern(squared: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Matern 5/2 of squared distances, and its derivative by them."""
    far = np.sqrt(5.0 * squared)
    decay = np.exp(-far)
    return (1.0 + far + 5.0 / 3.0 * squared) * decay, -5.0 / 6.0 * (1.0 + far) * decay
