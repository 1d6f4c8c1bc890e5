"""How far seeds of a candidate fall apart, where each candidate has a few seeds only.

A spread from two or three seeds is hardly known, and one for all candidates is wrong where they
differ: some configs are noisier than others, and on shares of right answers the spread shrinks as
the mean nears an end. So each candidate's own spread is drawn towards the common one.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)

NO_SPREAD = 1e-12
"""A standard deviation that is rounding alone: the mean of equal floats may be off by an ulp."""
PRIOR_DF = 1
"""Degrees of freedom that the common spread counts for beside a candidate's own: with the two
first seeds of a race, as much as these. 0 (Welch) leaves 1 df and separates hardly anybody; with 2
a candidate four times as noisy as its rivals is dropped more often than the race says
(`tests/benchmarks/coverage.py`)."""

RACE_WEIGHT = 0.5
"""What a degree of freedom of the winner's race counts beside one of the promise. With 1 a promise
covers 88 % at a nominal 90 % where seeds have a tail downwards or are near 1
(`tests/benchmarks/promised.py`)."""


@dataclass(frozen=True)
class Spread:
    """A standard deviation between seeds and the degrees of freedom it rests on (0: unknown)."""

    sd: float
    df: float


def resolution_sd(mean: float, examples: int) -> float:
    """The least standard deviation that a share of `examples` examples can be trusted to have.

    sqrt(p (1 - p) / m) with Laplace's p = (m * mean + 1) / (m + 2), which is never 0. It is the
    spread between seeds if each example is right or wrong by its own toss. Three seeds that
    agree exactly (often at 1.0) do not show that the next one will: without this floor their
    interval would have no width.

    Args:
        mean: a share, or the merit of one that is minimised, which is its negative.
    """
    assert examples > 0, examples
    share = (examples * abs(mean) + 1) / (examples + 2)
    return math.sqrt(share * (1 - share) / examples)


def floored(sd: float, mean: float, examples: int | None) -> float:
    """A standard deviation that is at least `resolution_sd`, where a score is a share."""
    return sd if examples is None else max(sd, resolution_sd(mean, examples))


def mean_of_seeds(scores: Sequence[float]) -> float:
    """The mean of at least one finite score."""
    assert len(scores) > 0, "a candidate without seeds"
    total = math.fsum(scores)
    assert math.isfinite(total), scores
    return total / len(scores)


def squares(scores: Sequence[float]) -> float:
    """The sum of squares about the mean."""
    mean = mean_of_seeds(scores)
    return math.fsum((score - mean) ** 2 for score in scores)


def pooled_spread(samples: Mapping[Key, Sequence[float]]) -> Spread:
    """The spread between seeds within candidates, s^2 = sum (n_i - 1) s_i^2 / sum (n_i - 1).

    One for all: right where candidates differ in mean and not in spread.
    """
    df = sum(len(scores) - 1 for scores in samples.values())
    if df == 0:
        return Spread(0.0, 0)
    return Spread(math.sqrt(sum(squares(scores) for scores in samples.values()) / df), df)


def shrunken_spreads(
    samples: Mapping[Key, Sequence[float]], examples: int | None = None
) -> dict[Key, Spread]:
    """Each candidate's own spread, drawn towards the pooled one.

    s_i'^2 = (d s^2 + (n_i - 1) s_i^2) / (d + n_i - 1) with d + n_i - 1 degrees of freedom, at most
    those of all candidates together: the moderated variance of Smyth (Statistical Applications in
    Genetics and Molecular Biology 3, 2004, section 5), with d = `PRIOR_DF` fixed, since the few
    candidates of a race cannot tell how much their spreads differ.

    Args:
        examples: how many examples a score is a share of: s_i' is then at least `resolution_sd`.
    """
    pooled = pooled_spread(samples)
    found = {}
    for key, scores in samples.items():
        own = len(scores) - 1
        variance = (PRIOR_DF * pooled.sd**2 + squares(scores)) / (PRIOR_DF + own)
        sd = floored(math.sqrt(variance), mean_of_seeds(scores), examples)
        found[key] = Spread(sd, min(PRIOR_DF + own, pooled.df))
    return found


def cautious_spreads(
    samples: Mapping[Key, Sequence[float]], examples: int | None = None
) -> dict[Key, Spread]:
    """The wider of the pooled and the shrunken spread of each candidate.

    Of candidates that are alike the one whose few seeds happen to agree looks best, and one that
    fails now and then has perhaps not failed yet: its own spread says too little where it was
    chosen by these very seeds.

    Args:
        examples: as of `shrunken_spreads`.
    """
    pooled = pooled_spread(samples)
    found = {}
    for key, own in shrunken_spreads(samples, examples).items():
        sd = floored(pooled.sd, mean_of_seeds(samples[key]), examples)
        found[key] = own if own.sd > sd else Spread(sd, pooled.df)
    return found


def joined_spread(
    fresh: Sequence[float], raced: Sequence[float], others: Mapping[Key, Sequence[float]]
) -> Spread:
    """The spread of a winner's seeds: of those that took no part in the choice, and of its race.

    s'^2 = (SS + w SS_r + d s_o^2) / df with df = (n - 1) + w (n_r - 1) + d, each SS about its own
    set's mean: the choice has lifted the race's mean and not that of later seeds. Of normal seeds a
    choice by means says nothing of the spread (the two are independent), and w = 1 would be right.
    But where low scores are rare and far off, or near 1 where a high mean goes with a small spread,
    it prefers sets that happen to agree. So the race counts by w = `RACE_WEIGHT`, and the other
    candidates' pooled s_o as d = `PRIOR_DF` (`shrunken_spreads`, Smyth 2004).

    Args:
        fresh: n >= 1 scores.
        raced: the same candidate's n_r scores in the race; none if there was none.
        others: the other candidates' in the race.

    >>> joined_spread([0.6, 0.5, 0.4], [0.9, 0.7, 0.8], {"b": [0.8, 0.6]})
    Spread(sd=0.11..., df=4.0)
    """
    prior = pooled_spread(others)
    known = min(PRIOR_DF, prior.df)
    own = RACE_WEIGHT * max(len(raced) - 1, 0)
    df = len(fresh) - 1 + own + known
    if df == 0:
        return Spread(0.0, 0)
    square = squares(fresh) + (RACE_WEIGHT * squares(raced) if own else 0.0)
    return Spread(math.sqrt((square + known * prior.sd**2) / df), df)
