"""Gaussian process regression with a length scale for each parameter and noise that is learned.

Rasmussen and Williams, "Gaussian Processes for Machine Learning" (MIT Press 2006), chapters 2 and
5: Matern 5/2 kernel (equation 4.17), marginal likelihood and its gradient (equations 5.8 and 5.9).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Trend = Callable[[FloatArray], FloatArray]

_SCALE_MEAN, _SCALE_SPREAD = -0.7, 1.0
"""Of the log length scales' prior, to whose mean log(parameters) / 2 is added, as distances grow
with it: Hvarfner, Hellsten and Nardi, "Vanilla Bayesian Optimization Performs Great in High
Dimensions" (ICML 2024, arXiv 2402.02229, section 5), whose wider prior around longer scales takes a
parameter that the best candidates share for one that does not matter."""
_NOISE_MEAN, _NOISE_SPREAD = -3.5, 1.5
"""Of the log noise variance's prior, in units of the targets' variance."""
_SLOPE_SPREAD = 0.2
"""Of the prior, around 0, of how the log noise variance rises with the function's level."""
_MOST_LEVEL = 2.0
"""How far from the mean, in deviations, a level counts as such."""
_SIGNAL_SPREAD = 0.5
"""Of the log signal variance's prior around 0."""
_LOW_SCALE, _HIGH_SCALE = -4.0, 5.0
_LOW_NOISE, _HIGH_NOISE = -12.0, 1.0
_BEFORE = 5.0
"""Targets that an expected spread counts for."""
_STEPS = 40
_JITTER = 1e-8


@dataclass(frozen=True)
class Fit:
    """Hyperparameters.

    Attributes:
        scales: a length scale for each parameter.
        noise: variance of the targets' noise where the function has its mean, in units of their
            variance.
        signal: variance of the function, likewise.
        slope: what the noise's logarithm rises by for each deviation of the function.
    """

    scales: FloatArray
    noise: float
    signal: float
    slope: float = 0.0

    def noise_at(self, levels: FloatArray) -> FloatArray:
        """Noise variance where the function has these levels, in deviations from the mean."""
        near = np.clip(levels, -_MOST_LEVEL, _MOST_LEVEL)
        return np.asarray(self.noise * np.exp(self.slope * near))


class GaussianProcess:
    """What some targets say of all points.

    Args:
        points: `[n, columns]`.
        targets: `[n]`, more is better.
        owner: the parameter that each column belongs to, `[columns]`.
        extra: variance of each target beyond that of the noise, `[n]`; None is none.
        common: standard deviation, of each target, of one error that they all share, `[n]`; None
            is none.
        varies: whether the noise may depend on the function's level.
        spread: of the function as expected before any target was seen: a few that are alike by
            accident do not show that all are.
        like: a process whose hyperparameters, units and trend to take; None finds the most likely
            ones, from one start, so that the same data give the same.
        trend: what is expected of points `[m, columns]` before any target is seen, `[m]`; the
            function is that and a process. None is a constant.
    """

    def __init__(
        self,
        points: FloatArray,
        targets: FloatArray,
        owner: IntArray,
        extra: FloatArray | None = None,
        common: FloatArray | None = None,
        *,
        varies: bool = False,
        spread: float = 0.0,
        like: GaussianProcess | None = None,
        trend: Trend | None = None,
    ) -> None:
        self._points, self._owner = points, owner
        self._trend: Trend | None = trend if like is None else like._trend
        targets = targets - self._expected(points)
        self._mean: float = like._mean if like is not None else _mean(targets)
        self._unit: float = _unit(targets, spread) if like is None else like._unit
        self._targets = (targets - self._mean) / self._unit
        self._extra = np.zeros(len(targets)) if extra is None else extra / self._unit**2
        self._common = np.zeros(len(targets)) if common is None else common / self._unit
        beyond = np.diag(self._extra) + np.outer(self._common, self._common)
        if like is None:
            self.fit: Fit = most_likely(points, self._targets, owner, beyond)
            self._condition(np.full(len(targets), self.fit.noise))
            if varies:
                # The levels are those of a first fit, whose noise is the same everywhere.
                levels = self._levels(points)
                self.fit = most_likely(points, self._targets, owner, beyond, levels, self.fit)
                self._condition(self.fit.noise_at(levels))
        else:
            self.fit = like.fit
            self._condition(self.fit.noise_at(like._levels(points)))

    def _expected(self, points: FloatArray) -> FloatArray:
        return np.zeros(len(points)) if self._trend is None else self._trend(points)

    def _condition(self, noise: FloatArray) -> None:
        kernel = self._kernel(self._points, self._points)
        kernel[np.diag_indices(len(kernel))] += noise + self._extra + _JITTER
        kernel += np.outer(self._common, self._common)
        self._root = np.linalg.cholesky(kernel)
        self._weights = cho_solve((self._root, True), self._targets)

    @property
    def size(self) -> int:
        """Targets that it rests on."""
        return len(self._targets)

    def _levels(self, points: FloatArray) -> FloatArray:
        return np.asarray(self._kernel(points, self._points) @ self._weights)

    def noise(self, mean: FloatArray) -> FloatArray:
        """Variance of a target's noise where the function is `mean` `[m]`."""
        return self.fit.noise_at((mean - self._mean) / self._unit) * self._unit**2

    def posterior(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the function, without noise, at points `[m, columns]`."""
        cross = self._kernel(points, self._points)
        half = solve_triangular(self._root, cross.T, lower=True)
        variance = np.maximum(self.fit.signal - np.square(half).sum(axis=0), 1e-12)
        mean = cross @ self._weights
        mean = mean * self._unit + self._mean + self._expected(points)
        return mean, np.sqrt(variance) * self._unit

    def joint(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean and covariance of the function, without noise, at points `[m, columns]`."""
        cross = self._kernel(points, self._points)
        half = solve_triangular(self._root, cross.T, lower=True)
        covariance = self._kernel(points, points) - half.T @ half
        mean = cross @ self._weights * self._unit + self._mean + self._expected(points)
        return mean, covariance * self._unit**2

    def over(self, trend: Trend) -> GaussianProcess:
        """The process of the same targets over a trend."""
        return GaussianProcess(
            self._points,
            self._targets * self._unit + self._mean,
            self._owner,
            self._extra * self._unit**2,
            self._common * self._unit,
            trend=trend,
        )

    def foretold(self) -> float:
        """How well each target is foretold by the others: the sum of the log densities.

        Rasmussen and Williams, equations 5.10 to 5.12.
        """
        precision = np.diag(_inverse(self._root))
        errors = self._weights / precision
        fit = np.log(precision) - precision * np.square(errors) - math.log(2 * math.pi)
        return float(fit.sum() / 2 - len(precision) * math.log(self._unit))

    def believing(self, points: FloatArray) -> GaussianProcess:
        """As if its own means had been seen at further points: what runs is not proposed again.

        Ginsbourger, Le Riche and Carraro, "Kriging is well-suited to parallelize optimization"
        (2010), the kriging believer.
        """
        believed, _ = self.posterior(points)
        seen = self._targets * self._unit + self._mean + self._expected(self._points)
        return GaussianProcess(
            np.concatenate([self._points, points]),
            np.concatenate([seen, believed]),
            self._owner,
            np.concatenate([self._extra, np.zeros(len(points))]) * self._unit**2,
            np.concatenate([self._common, np.zeros(len(points))]) * self._unit,
            like=self,
        )

    def _kernel(self, left: FloatArray, right: FloatArray) -> FloatArray:
        scales = self.fit.scales[self._owner]
        a, b = left / scales, right / scales
        squared = np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2.0 * a @ b.T
        return self.fit.signal * _matern(np.maximum(squared, 0.0))[0]


def _mean(targets: FloatArray) -> float:
    """Of none 0: nothing is known then but the prior."""
    return float(targets.mean()) if len(targets) else 0.0


def _unit(targets: FloatArray, spread: float) -> float:
    """The targets' deviation, as if a few of the expected spread had been seen too."""
    n = len(targets)
    if not n:
        return spread or 1.0
    square = (n * float(targets.var()) + _BEFORE * spread**2) / (n + _BEFORE * (spread > 0.0))
    return math.sqrt(square) or 1.0


def most_likely(
    points: FloatArray,
    targets: FloatArray,
    owner: IntArray,
    extra: FloatArray | None = None,
    levels: FloatArray | None = None,
    start: Fit | None = None,
) -> Fit:
    """The hyperparameters of highest posterior density for standardised targets `[n]`.

    Args:
        extra: covariance of the targets beyond the noise, `[n, n]`; None is none.
        levels: of the function at each point, `[n]`, for noise that depends on it; None for noise
            that does not.
        start: where to look from.
    """
    squared = squared_distances(points, owner)
    count = len(squared)
    if start is None:
        logs = np.concatenate([np.full(count, math.log(0.5)), [math.log(0.05), 0.0, 0.0]])
    else:
        logs = np.concatenate([np.log(start.scales), np.log([start.noise, start.signal]), [0.0]])
    bounds = [(_LOW_SCALE, _HIGH_SCALE)] * count
    bounds += [
        (_LOW_NOISE, _HIGH_NOISE),
        (-4.0, 3.0),
        (-1.0, 1.0) if levels is not None else (0, 0),
    ]
    near = None if levels is None else np.clip(levels, -_MOST_LEVEL, _MOST_LEVEL)
    found = minimize(
        lambda logs: loss(logs, squared, targets, extra, near),
        logs, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS},
    ).x  # fmt: skip
    noise, signal = np.exp(found[count : count + 2])
    return Fit(np.exp(found[:count]), float(noise), float(signal), float(found[-1]))


def squared_distances(points: FloatArray, owner: IntArray) -> FloatArray:
    """By parameter, `[parameters, n, n]`."""
    count = int(owner[-1]) + 1
    found = np.zeros((count, len(points), len(points)))
    for column, parameter in enumerate(owner):
        found[parameter] += np.square(points[:, column, None] - points[None, :, column])
    return found


def loss(
    logs: FloatArray,
    squared: FloatArray,
    targets: FloatArray,
    extra: FloatArray | None = None,
    levels: FloatArray | None = None,
) -> tuple[float, FloatArray]:
    """Negative log posterior density, but for a constant, and its gradient.

    Args:
        logs: log length scales, log noise variance, log signal variance, and the slope of the log
            noise variance over the levels, `[parameters + 3]`.
        squared: `[parameters, n, n]`.
        targets: `[n]`.
        extra: covariance of the targets beyond the noise, `[n, n]`; None is none.
        levels: of the function at each point, `[n]`; None is 0 everywhere.
    """
    count, size = len(squared), len(targets)
    shrink = np.exp(-2.0 * logs[:count])
    levels = np.zeros(size) if levels is None else levels
    noise, signal = np.exp(logs[count] + logs[-1] * levels), math.exp(logs[count + 1])
    correlation, slope = _matern(np.tensordot(shrink, squared, 1))
    kernel = signal * correlation
    kernel[np.diag_indices(size)] += noise + _JITTER
    if extra is not None:
        kernel += extra
    try:
        root = np.linalg.cholesky(kernel)
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(logs)
    inverse = _inverse(root)
    weights = inverse @ targets
    pull = np.outer(weights, weights) - inverse
    spreads = np.full_like(logs, _SCALE_SPREAD)
    spreads[count:] = _NOISE_SPREAD, _SIGNAL_SPREAD, _SLOPE_SPREAD
    middle = np.full_like(logs, _SCALE_MEAN + math.log(count) / 2)
    middle[count:] = _NOISE_MEAN, 0.0, 0.0
    away = (logs - middle) / spreads
    value = targets @ weights / 2 + np.log(np.diag(root)).sum() + np.square(away).sum() / 2
    gradient = np.empty_like(logs)
    # d squared / d log scale = -2 shrink squared_k, and `slope` is d correlation / d squared.
    gradient[:count] = shrink * np.tensordot(squared, signal * slope * pull, 2)
    along = -noise * np.diag(pull) / 2
    gradient[count], gradient[-1] = along.sum(), (along * levels).sum()
    gradient[count + 1] = -signal * np.sum(pull * correlation) / 2
    return float(value), gradient + away / spreads


def _inverse(root: npt.NDArray[np.floating[Any]]) -> FloatArray:
    """Of root root^T, for a lower triangular root: a third of the work of solving for the unit
    matrix. Of no rows it is none, where LAPACK would write a complaint to stderr."""
    if not len(root):
        return np.empty((0, 0))
    lower, _ = dpotri(root, lower=1)
    return np.asarray(np.tril(lower) + np.tril(lower, -1).T)


def _matern(squared: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Matern 5/2 of squared distances, and its derivative by them."""
    far = np.sqrt(5.0 * squared)
    decay = np.exp(-far)
    return (1.0 + far + 5.0 / 3.0 * squared) * decay, -5.0 / 6.0 * (1.0 + far) * decay
