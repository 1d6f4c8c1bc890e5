"""What a run will come to, foreseen from its curve by those that ran to their end.

Ridge regression on a few features of the curve, those of them that foresee best by the
leave-one-out error; that error, where the forecast lies, is how far it can be trusted. The
leave-one-out residual of a linear smoother with hat matrix H is e_i / (1 - H_ii) (Hastie,
Tibshirani and Friedman, "The Elements of Statistical Learning", 2nd edition, equation 7.64).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

FEWEST = 5
"""Runs that must have ended before any is foreseen."""
_RIDGES = (0.03, 0.3, 3.0)
"""Penalties of a coefficient of standardised features, as a share of the number of runs' square
root: weak ones where there is much to learn from."""
_LEAST_GAIN = 0.98
"""A further feature must lower the mean square error at least this far."""
_PRIOR_RUNS = 3.0
"""Weight of the error over all runs beside that of those like the one foreseen."""


@dataclass(frozen=True)
class Foresight:
    """How features of a curve, up to some fidelity, foresee its end.

    Attributes:
        columns: which features count.
        centre: their means, and the mean end as the last, `[columns + 1]`.
        scale: their standard deviations, `[columns]`.
        weights: of the standardised features, `[columns]`.
        spread: (X'X + penalty)^-1 of the standardised features, `[columns, columns]`.
        forecasts: leave-one-out forecasts of the runs that it was made from, `[n]`.
        squares: their squared errors, `[n]`.
    """

    columns: tuple[int, ...]
    centre: FloatArray
    scale: FloatArray
    weights: FloatArray
    spread: FloatArray
    forecasts: FloatArray
    squares: FloatArray

    def at(self, features: FloatArray, least: float = 0.0) -> tuple[float, float, float]:
        """The end foreseen from features `[all of them]`, the variance of its own error, and the
        standard deviation of the error that it shares with all that is foreseen so: that of the
        regression, s^2 (1 / n + x' (X'X + penalty)^-1 x), more where no run like it was seen.

        Args:
            least: s^2 before any error was seen: runs that all failed alike do not show that no
                other ends otherwise.
        """
        standard = (features[list(self.columns)] - self.centre[:-1]) / self.scale
        # What lies far beyond the runs that were seen is not foreseen any better by going on.
        standard = np.clip(standard, -4.0, 4.0)
        found = float(standard @ self.weights + self.centre[-1])
        width = 0.5 * float(self.forecasts.std()) + 1e-9
        near = np.exp(-np.square((self.forecasts - found) / width) / 2)
        n = len(self.squares)
        # As if a few runs with the error of before had been seen.
        square = (float(self.squares.sum()) + _PRIOR_RUNS * least) / (n + _PRIOR_RUNS)
        own = float(near @ self.squares) + _PRIOR_RUNS * square
        shared = square * (1.0 / n + float(standard @ self.spread @ standard))
        return found, own / (float(near.sum()) + _PRIOR_RUNS), math.sqrt(shared)


def foresight(features: FloatArray, ends: FloatArray) -> Foresight:
    """What runs `[n, features]` that came to `ends` `[n]` say of others.

    >>> early = np.arange(12.0)[:, None]
    >>> found, own, shared = foresight(early, 2.0 * early[:, 0]).at(np.array([4.0]))
    >>> round(found, 1), own < 0.1, shared < 0.1
    (8.0, True, True)
    """
    chosen: tuple[int, ...] = ()
    best = _fitted(features, ends, chosen, 1.0)
    left = [k for k in range(features.shape[1]) if np.ptp(features[:, k]) > 0.0]
    most = max(1, len(ends) // 4)
    while left and len(chosen) < most:
        found = [_fitted(features, ends, (*chosen, column), 0.3) for column in left]
        place = int(np.argmin([one.squares.mean() for one in found]))
        if found[place].squares.mean() > _LEAST_GAIN * best.squares.mean():
            break
        best, chosen = found[place], found[place].columns
        left.remove(chosen[-1])
    if not chosen:
        return best
    tried = [_fitted(features, ends, chosen, ridge) for ridge in _RIDGES]
    return min(tried, key=lambda one: float(one.squares.mean()))


def _fitted(
    features: FloatArray, ends: FloatArray, columns: tuple[int, ...], ridge: float
) -> Foresight:
    known = features[:, list(columns)]
    mean, scale = known.mean(axis=0), known.std(axis=0) + 1e-12
    standard = (known - mean) / scale
    middle, n = float(ends.mean()), len(ends)
    gram = standard.T @ standard + ridge * math.sqrt(n) * np.eye(len(columns))
    spread = np.linalg.inv(gram)
    half = spread @ standard.T
    weights = half @ (ends - middle)
    hat = np.einsum("ij,ji->i", standard, half) + 1.0 / n
    errors = (ends - middle - standard @ weights) / np.maximum(1.0 - hat, 0.05)
    return Foresight(
        columns, np.append(mean, middle), scale, weights, spread, ends - errors, np.square(errors)
    )
