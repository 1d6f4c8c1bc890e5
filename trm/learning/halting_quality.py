"""How far a halting probability can be trusted: does it rank, is it calibrated, may it abstain?

Each takes the probability (or logit) that an answer is right, and whether it was, of n answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Of the calibration error, as in Guo et al. (arXiv 1706.04599)."""


def auc(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Area under the ROC curve by the rank-sum formula (Mann-Whitney), ties at mid-rank.

    0.5 where only one class occurs or a score is not finite: such scores rank nothing.

    >>> auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True]))
    0.875
    """
    n_right = int(right.sum())
    n_wrong = len(right) - n_right
    if not n_right or not n_wrong or not np.isfinite(scores).all():
        return 0.5
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2.0
    rank_sum = float(ranks[inverse][right].sum())
    return (rank_sum - n_right * (n_right + 1) / 2.0) / (n_right * n_wrong)


def calibration_error(chances: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Expected calibration error: how far stated chances lie from what came of them.

    The chances fall into `BINS` bins of equal width, of which the last holds 1; the error is the
    sum over bins of |share right - mean chance|, weighted by the share of answers that the bin has
    (Naeini et al., AAAI 2015; Guo et al., arXiv 1706.04599, equation 3). 1 where a chance is no
    number.

    >>> calibration_error(np.array([0.9, 0.9, 0.9, 0.9]), np.array([True, True, False, False]))
    0.4
    """
    if not np.isfinite(chances).all():
        return 1.0
    bins = np.minimum((chances * BINS).astype(np.int64), BINS - 1)
    off = np.bincount(bins, right.astype(np.float64) - chances, minlength=BINS)
    return float(np.abs(off).sum() / len(chances))


@dataclass(frozen=True)
class Coverage:
    """What a model answers when it may abstain.

    Attributes:
        share: of all puzzles, those that it answers.
        threshold: it answers where its score is at least this; infinite where it answers none.
    """

    share: float
    threshold: float


def coverage(
    scores: NDArray[np.float64], right: NDArray[np.bool_], precision: float = 0.99
) -> Coverage:
    """The most answers that one threshold on the score lets through at this precision or better.

    A threshold answers every puzzle whose score reaches it, ties together; precision is the share
    of right ones among the answers ("Selective classification", Geifman & El-Yaniv, arXiv
    1705.08500, with coverage as they define it). Of all thresholds the one with the largest
    coverage counts. It is chosen on the same answers on which it is scored: of few answers the
    figure is hopeful. None where a score is not a number.

    >>> coverage(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, True]), 0.7).share
    1.0
    >>> coverage(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, True]), 0.9)
    Coverage(share=0.5, threshold=0.8)
    """
    if np.isnan(scores).any():
        return Coverage(0.0, np.inf)
    order = np.argsort(-scores, kind="stable")
    ranked, found = scores[order], np.cumsum(right[order])
    answered = np.arange(1, len(order) + 1)
    whole = np.append(ranked[1:] != ranked[:-1], True)
    # Counted, as a precision of exactly the bound would fall to rounding.
    enough = whole & (found >= precision * answered - 1e-9)
    if not enough.any():
        return Coverage(0.0, np.inf)
    last = int(np.flatnonzero(enough)[-1])
    return Coverage(float(answered[last] / len(order)), float(ranked[last]))
