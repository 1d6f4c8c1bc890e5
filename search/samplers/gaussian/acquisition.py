"""Where another candidate is worth most: expected improvement, and the search for its best."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import erfcx, ndtr

from search.samplers.gaussian.encoding import Encoding, distinct
from search.samplers.gaussian.process import GaussianProcess

FloatArray = npt.NDArray[np.float64]

_RANDOM = 1000
_LEADERS, _NEAR = 5, 60
_SCALES = (0.1, 0.05, 0.02, 0.01)


def log_expected_improvement(mean: FloatArray, deviation: FloatArray, best: float) -> FloatArray:
    """log E[max(f - best, 0)] of normal f, exact also where improvement is all but impossible.

    With u = (mean - best) / deviation it is log(deviation (phi(u) + u Phi(u))); for u below -1 by
    the scaled complementary error function (Ament et al., "Unexpected Improvements to Expected
    Improvement for Bayesian Optimization", NeurIPS 2023, arXiv 2310.20708, equation 9).

    >>> one = np.ones(1)
    >>> log_expected_improvement(-40 * one, one, 0.0).round(1)
    array([-808.3])
    """
    u = (mean - best) / deviation
    found = np.empty_like(u)
    near = u > -1.0
    density = np.exp(-np.square(u[near]) / 2) / math.sqrt(2 * math.pi)
    found[near] = np.log(density + u[near] * ndtr(u[near]))
    low = u[~near]
    # 1 + u Phi(u) / phi(u), whose terms cancel: beyond 1e3 only its leading term u^-2 is left.
    share = math.sqrt(math.pi / 2) * erfcx(-np.maximum(low, -1e3) / math.sqrt(2))
    rest = np.where(low < -1e3, -2 * np.log(-low), np.log1p(np.maximum(low, -1e3) * share))
    found[~near] = -np.square(low) / 2 - math.log(2 * math.pi) / 2 + rest
    return found + np.log(deviation)


def moved(deviation: FloatArray, noise: FloatArray) -> FloatArray:
    """How far a noisy value moves the mean, as a standard deviation: s^2 / sqrt(s^2 + noise).

    Frazier, Powell and Dayanik, "The Knowledge-Gradient Policy for Correlated Normal Beliefs",
    INFORMS Journal on Computing 21 (2009), equation 8.
    """
    variance = np.square(deviation)
    return np.asarray(variance / np.sqrt(variance + noise))


def most_promising(
    process: GaussianProcess, encoding: Encoding, seen: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, float]:
    """The row of shares from which most is expected, of those not yet seen, and the logarithm of
    what is: by how much a run there raises the best mean.

    Args:
        seen: rows of shares of all candidates so far, running ones too.
    """
    points = encoding.points(seen)
    known = distinct(points)
    mean, _ = process.posterior(points)
    best = float(mean.max())
    leaders = seen[np.argsort(-mean, kind="stable")[:_LEADERS]]
    near = [
        encoding.mutated(rng, np.repeat(leaders, _NEAR, axis=0), scale) for scale in _SCALES[::2]
    ]
    rows = np.concatenate([encoding.random(rng, _RANDOM), *near])
    chosen, values = _best_of(process, encoding, rows, best, known)
    for scale in _SCALES:
        further = encoding.mutated(rng, np.repeat(chosen, _NEAR // 2, axis=0), scale, 1.0)
        rows = np.concatenate([chosen, further])
        chosen, values = _best_of(process, encoding, rows, best, known)
    return np.asarray(chosen[int(values.argmax())]), float(values.max())


def _best_of(
    process: GaussianProcess,
    encoding: Encoding,
    rows: FloatArray,
    best: float,
    known: set[bytes],
) -> tuple[FloatArray, FloatArray]:
    """The few rows of highest value, none of them known unless all are."""
    points = encoding.points(rows)
    mean, deviation = process.posterior(points)
    values = log_expected_improvement(mean, deviation, best)
    old = [point.tobytes() in known for point in np.round(points, 9)]
    values = np.where(old, -math.inf, values)
    order = np.argsort(-values, kind="stable")[: 2 * _LEADERS]
    return rows[order], values[order]
