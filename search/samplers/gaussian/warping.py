"""What a Gaussian process is told of candidates: the good by value, the bad by rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import rankdata

from search.objectives.objective import Direction
from search.samplers.history import PastTrial, standing

FloatArray = npt.NDArray[np.float64]


def warped(ranked: Sequence[PastTrial], direction: Direction) -> FloatArray:
    """A target for each record, more is better, `[n]`.

    The better half keeps its values. The others, among them all that were pruned or failed, stand
    below the median as far as a normal with the better half's spread has them by rank: a loss of
    1e9 and a failure's floor say that something is bad, and how bad is no matter. This is the half
    rank warping of Song et al., "The Vizier Gaussian Process Bandit Algorithm" (arXiv 2408.11527,
    appendix B); ranks alone would stretch the small differences among the best, which are noise.

    Args:
        ranked: ended records that count, the best first.

    >>> values = [3.0, 2.5, 2.0, -1e9]
    >>> warped([PastTrial(i, {}, "completed", (v,)) for i, v in enumerate(values)], "maximize")
    array([3.        , 2.5       , 2.27468794, 1.98063405])
    """
    keys = [standing(record, direction) for record in ranked]
    places = {key: place for place, key in enumerate(sorted(set(keys)))}
    ranks = rankdata([places[key] for key in keys])
    scores: FloatArray = -ndtri((ranks - 0.5) / len(ranks))
    sign = 1.0 if direction == "maximize" else -1.0
    # Standing 0 is that of the completed ones that keep the constraints.
    valued = [key[0] == 0.0 for key in keys]
    values = np.array([
        sign * record.values[0] if has else np.nan
        for record, has in zip(ranked, valued, strict=True)
    ])  # fmt: skip
    good = np.array(valued) & (ranks <= (len(ranks) + 1) / 2)
    if not good.any():
        return scores
    median = values[good].min()
    deviation = float(np.sqrt(np.mean(np.square(values[good] - median))))
    if deviation == 0.0:
        return scores
    lowest = scores[good].min()
    return np.where(good, values, median + deviation * (scores - lowest))
