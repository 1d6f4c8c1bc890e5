"""Probabilities: that a candidate is the best of all, and that one config beats another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from search.stats.intervals import Interval
from search.stats.spreads import NO_SPREAD, Key, pooled_spread, shrunken_spreads

_DRAWS = 20_000
_EDGE = 1e-9


def probability_of_best(
    samples: Mapping[Key, Sequence[float]], examples: int | None = None, seed: int = 0
) -> dict[Key, float]:
    """How probable it is that a candidate's mean over all seeds is the highest.

    The share of joint draws from the posterior in which it is: with a candidate's shrunken s and
    its df, sigma^2 = df s^2 / chi^2(df), and its mean is normal about the seeds' with variance
    sigma^2 / n, which makes it Student's t (Gelman et al., "Bayesian Data Analysis", 3rd ed.,
    section 3.2; `shrunken_spreads`).

    Args:
        samples: merits, more is better, failures at the floor.
        examples: how many examples a score is a share of: s is then at least `resolution_sd`.
        seed: of the draws; the same samples give the same numbers.

    Where nothing is known of the spread all are equally probable. Where seeds repeat and agree
    exactly, as on the number of parameters, the highest mean is the best for sure, or all that tie.
    """
    spreads = list(shrunken_spreads(samples, examples).values())
    means = {key: math.fsum(merits) / len(merits) for key, merits in samples.items()}
    if pooled_spread(samples).df == 0:
        return dict.fromkeys(samples, 1 / len(samples))
    if max(spread.sd for spread in spreads) <= NO_SPREAD:
        top = max(means.values())
        firsts = [key for key, mean in means.items() if mean >= top - NO_SPREAD]
        return {key: (key in firsts) / len(firsts) for key in samples}
    rng = np.random.default_rng(seed)
    df = np.array([spread.df for spread in spreads])
    wider = np.sqrt(df / rng.chisquare(df, (_DRAWS, len(df))))
    counts = np.array([len(merits) for merits in samples.values()])
    errors = np.array([spread.sd for spread in spreads]) / np.sqrt(counts)
    noise = rng.standard_normal((_DRAWS, len(samples)))
    drawn = np.array(list(means.values())) + errors * wider * noise
    shares = np.bincount(drawn.argmax(axis=1), minlength=len(samples)) / _DRAWS
    return {key: float(share) for key, share in zip(samples, shares, strict=True)}


def probability_of_improvement(
    first: Sequence[float], second: Sequence[float], confidence: float = 0.9
) -> tuple[float, Interval]:
    """How often a seed of the first beats one of the second, ties half; and its interval.

    The share of the m n pairs, Mann & Whitney's U / (m n), as in Agarwal et al. (NeurIPS 2021).
    Bootstrap and DeLong give an interval of no width where all pairs agree, which three seeds
    often do. So the interval is that of Newcombe (Statistics in Medicine 25, 2006, method 5): all
    t with |share - t| <= z sqrt(v(t)), where
    v(t) = t (1 - t) (1 + k (1 - t) / (2 - t) + k t / (1 + t)) / (m n), k = (m + n) / 2 - 1.

    Args:
        first: merits, more is better, failures at the floor.
        second: likewise; both of at least one seed.

    >>> probability_of_improvement([0.9, 0.8], [0.8, 0.1])[0]
    0.875
    """
    from scipy import optimize, stats

    pairs = [0.5 * (a == b) + (a > b) for a in first for b in second]
    share = math.fsum(pairs) / len(pairs)
    z = float(stats.norm.ppf((1 + confidence) / 2))
    k = (len(first) + len(second)) / 2 - 1

    def beyond(t: float) -> float:
        variance = t * (1 - t) * (1 + k * (1 - t) / (2 - t) + k * t / (1 + t)) / len(pairs)
        return (share - t) ** 2 - z**2 * variance

    inside = min(max(share, _EDGE), 1 - _EDGE)
    low = float(optimize.brentq(beyond, _EDGE, inside)) if beyond(_EDGE) > 0 else 0.0
    high = float(optimize.brentq(beyond, inside, 1 - _EDGE)) if beyond(1 - _EDGE) > 0 else 1.0
    return share, Interval(low, high)
