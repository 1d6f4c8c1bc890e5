"""Sobol's indices from runs: how much of the variance each parameter causes, alone and in all.

The design is Saltelli's radial one: two independent matrices A and B, and for each parameter A with
that column of B; n (d + 2) points. First order: Saltelli et al. (Computer Physics Communications
181, 2010), table 2 (b). Total order: Jansen (Computer Physics Communications 117, 1999), table 2
(f) there. Where seeds repeat each point, what they say of the noise is taken out of the variances.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.stats.rank_correlation import RankEstimate

Values = NDArray[np.float64]
_BOOTSTRAPS, _AT_ONCE = 400, 20
_SEED = 20101


@dataclass(frozen=True)
class Index:
    """A parameter's indices with bootstrap intervals.

    Attributes:
        first: share of the variance that the parameter causes alone.
        total: share that is gone once the parameter is fixed, interactions included.
    """

    first: RankEstimate
    total: RankEstimate


def saltelli(count: int, dimensions: int) -> Values:
    """The design in the unit cube, `[dimensions + 2, count, dimensions]`: A, B, then A with B's i.

    Scrambled Sobol points; a larger count begins with the same points.

    Args:
        count: a power of two.
    """
    from scipy.stats import qmc

    assert count & (count - 1) == 0, count
    points = qmc.Sobol(2 * dimensions, seed=_SEED).random(count)
    a, b = points[:, :dimensions], points[:, dimensions:]
    mixed = np.repeat(a[None], dimensions, axis=0)
    for index in range(dimensions):
        mixed[index, :, index] = b[:, index]
    return np.concatenate([a[None], b[None], mixed])


def indices(
    values: Values,
    noise: float = 0.0,
    confidence: float = 0.9,
    seed: int = 0,
    configs: NDArray[np.int64] | None = None,
) -> list[Index]:
    """The indices of each parameter.

    Args:
        values: of the design's points, `[dimensions + 2, count]`, means over seeds.
        noise: variance of such a mean from seed to seed.
        confidence: of the intervals, which come from resampling the design's rows.
        configs: a number a config, shaped as `values`. Points of options or whole numbers often
            are one config, whose runs then count at both: they differ by no noise. None is all
            different.
    """
    count = values.shape[1]
    which = np.arange(values.size).reshape(values.shape) if configs is None else configs
    found = _indices(values[None], which[None], noise)[0]
    rng = np.random.default_rng(seed)
    resamples = (
        rng.integers(count, size=(_AT_ONCE, count)) for _ in range(_BOOTSTRAPS // _AT_ONCE)
    )
    drawn = np.concatenate(
        [
            _indices(values[:, rows].swapaxes(0, 1), which[:, rows].swapaxes(0, 1), noise)
            for rows in resamples
        ]
    )
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return [
        Index(
            *(RankEstimate(float(found[k, i]), float(low[k, i]), float(high[k, i])) for k in (0, 1))
        )
        for i in range(found.shape[1])
    ]


def nothing_varies(found: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the indices are undefined: values differed by no more than seeds do.

    Args:
        found: indices as plain values, by `first` and `total`.
    """
    return all(one[key]["value"] == 0.0 for one in found for key in ("first", "total"))


def noise_of(scores: Sequence[Sequence[float]]) -> float:
    """The variance of a mean over seeds, pooled over points; 0 where no point has two seeds."""
    groups = [np.asarray(group) for group in scores if len(group) > 1]
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return 0.0
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    sizes = [len(group) for group in scores]
    return squares / freedom * float(np.mean([1 / size for size in sizes]))


def _same(configs: NDArray[np.int64]) -> Values:
    """How probable it is that two points drawn from `[draws, ...]` are one config, `[draws]`."""
    found, which = np.unique(configs, return_inverse=True)
    draws, kinds = len(configs), len(found)
    apart = which.reshape(draws, -1) + kinds * np.arange(draws)[:, None]
    counts = np.bincount(apart.ravel(), minlength=draws * kinds).reshape(draws, kinds)
    same: Values = ((counts / apart.shape[1]) ** 2).sum(axis=1)
    return same


def _indices(values: Values, configs: NDArray[np.int64], noise: float) -> Values:
    """First and total indices, `[draws, 2, d]`, of values `[draws, d + 2, count]`; 0 of nothing."""
    of_a, of_b, of_mixed = configs[:, :1], configs[:, 1:2], configs[:, 2:]
    # E[b (mixed - a)] holds the noise of b where another one is the same run, (a - mixed)^2 does
    # not where these two are.
    shared = (of_b == of_mixed).mean(axis=2) - (of_b == of_a).mean(axis=2)
    apart = (of_a != of_mixed).mean(axis=2)
    a, b, mixed = values[:, 0], values[:, 1], values[:, 2:]
    both = np.concatenate([a, b], axis=1)
    # A variance is half the mean square difference of two points, one with itself included.
    variance = both.var(axis=1) - noise * (1 - _same(configs[:, :2]))
    centre = both.mean(axis=1)[:, None]
    # Without the mean the products vary less, and their expectation is the same.
    first = ((b - centre)[:, None] * (mixed - a[:, None])).mean(axis=2) - noise * shared
    total = ((a[:, None] - mixed) ** 2).mean(axis=2) / 2 - noise * apart
    parts = np.stack([first, total], axis=1)
    known = (variance > 1e-15)[:, None, None]
    found: Values = np.where(known, parts / np.where(known, variance[:, None, None], 1.0), 0.0)
    return found
