"""Which candidates are behind by more than seeds explain, however often one looks.

A race looks after every run, and a candidate that is as good as the leader will fall far behind at
some look or other: four equal ones, looked at from 8 to 40 runs, lose a given one in a quarter of
all races at a nominal tenth. So each look has a level of its own, lower the longer the race.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from search.stats.spreads import Key, mean_of_seeds, shrunken_spreads
from search.stats.student import t_quantile

_LOWEST = -6.0
_NODES = 80
_THINNED = 1.05
_BETWEEN = 0.583


def unresolved(
    samples: Mapping[Key, Sequence[float]],
    confidence: float = 0.9,
    examples: int | None = None,
    looks: tuple[int, int] = (1, 1),
) -> list[Key]:
    """The candidates that more seeds could still make the best, the leader (by mean) first.

    A candidate is resolved once it is below the leader by a one-sided t test of the difference of
    means, each with a spread of its own (`shrunken_spreads`): with v_i = s_i'^2 / n_i and df_i, the
    error is sqrt(v_1 + v_2) with (v_1 + v_2)^2 / (v_1^2 / df_1 + v_2^2 / df_2) degrees of freedom
    (Satterthwaite, Biometrics Bulletin 2, 1946), at most those of all candidates together, since
    the shrunken spreads are not independent. 1 - confidence is shared among the comparisons
    (Bonferroni) and among the looks (`look_level`).

    One seed says nothing of its candidate's spread, so that nobody is resolved, nor leads, by one.

    Args:
        examples: how many examples a score is a share of, if it is one.
        looks: runs of all candidates at the first and at the last look, if there is one after each.
    """
    means = {key: mean_of_seeds(scores) for key, scores in samples.items()}
    leader, *others = sorted(samples, key=lambda key: -means[key])
    df = sum(len(scores) - 1 for scores in samples.values())
    if df == 0 or not others or len(samples[leader]) < 2:
        return [leader, *others]
    level = look_level((1 - confidence) / len(others), *looks)
    spreads = shrunken_spreads(samples, examples)
    first = spreads[leader].sd ** 2 / len(samples[leader])
    open_ones = [leader]
    for key in others:
        second = spreads[key].sd ** 2 / len(samples[key])
        parts = first**2 / spreads[leader].df + second**2 / spreads[key].df
        together = min((first + second) ** 2 / parts, df) if parts > 0 else df
        margin = t_quantile(1 - level, together) * math.sqrt(first + second)
        if len(samples[key]) < 2 or means[leader] - means[key] <= margin:
            open_ones.append(key)
    return open_ones


@lru_cache(maxsize=4096)
def look_level(error: float, first: int, last: int) -> float:
    """The level of each look with which all looks together err at most that often.

    Pocock's boundary (Biometrika 64, 1977), one-sided: a sum of standard normal steps is looked at
    after `first` steps and after each further one up to `last`, and exceeds z sqrt(steps) at any of
    these looks with the probability `error`; the level is 1 - Phi(z). The probability is found by
    recursive integration over the looks (Armitage, McPherson & Rowe, Journal of the Royal
    Statistical Society A 132, 1969). Beyond 20 steps looks are thinned, and z is lowered there by
    what the sums move between two looks, 0.583 of their deviation (Siegmund, "Sequential Analysis",
    Springer 1985, chapter 10).

    Args:
        error: above 0, below 1.
        first: at least 1.

    >>> round(look_level(0.05, 8, 8), 3), round(look_level(0.05, 8, 40), 3)
    (0.05, 0.01)
    """
    assert 0 < error < 1, error
    assert first > 0, first
    if last <= first:
        return error
    from scipy.optimize import brentq
    from scipy.special import ndtr, ndtri

    looks = [first]
    while (after := max(looks[-1] + 1, math.floor(looks[-1] * _THINNED))) < last:
        looks.append(after)
    # A last step that is shorter than those before it would be too fine for the nodes.
    if len(looks) > 1 and last - looks[-1] < looks[-1] - looks[-2]:
        looks.pop()
    looks.append(last)

    # Between a single look's z and that of looks which have nothing to do with each other.
    most, least = float(-ndtri(error / len(looks))), float(-ndtri(error))
    if _exceeds(most, looks) >= error or _exceeds(least, looks) <= error:
        return error / len(looks)
    return float(ndtr(-brentq(lambda z: _exceeds(z, looks) - error, least, most, xtol=1e-3)))


def _exceeds(z: float, looks: Sequence[int]) -> float:
    """The probability that a sum of normal steps is above z sqrt(steps) at any of the looks."""
    from scipy.special import ndtr

    nodes, weights = np.polynomial.legendre.leggauss(_NODES)

    def below(end: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        half = (end - _LOWEST) / 2
        return _LOWEST + half * (nodes + 1), half * weights

    # The sums that have stayed below, in units of their own error: nodes with their probability.
    u, width = below(z)
    mass = width * np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)
    for before, after in pairwise(looks):
        step = math.sqrt((after - before) / after)
        nexts, width = below(z - _BETWEEN * (step - math.sqrt(1 / after)))
        away = (nexts[:, None] - u[None, :] * math.sqrt(before / after)) / step
        u, mass = nexts, width * (np.exp(-(away**2) / 2) @ mass) / (step * math.sqrt(2 * math.pi))
    return float(1 - mass.sum() - ndtr(_LOWEST))
