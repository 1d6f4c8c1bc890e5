"""Which parameters matter together: functional ANOVA of a forest fitted to scores.

A forest is constant on boxes, so its marginals over the unit cube are sums over leaves, exact up
to the cells on which they are taken: Hutter, Hoos & Leyton-Brown, "An Efficient Approach for
Assessing Hyperparameter Importance" (ICML 2014), section 3. Unlike there, the mean over trees is
decomposed, not each tree: what trees disagree on is noise of the resampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestRegressor

Values = NDArray[np.float64]
TREES = 128
CELLS = 32
"""Most cells a parameter's axis is cut into; cells of a parameter of fewer values are its own."""
_QMC_POINTS = 4096


@dataclass(frozen=True)
class Decomposition:
    """Shares of a forest's variance over the unit cube.

    Attributes:
        main: of each parameter alone, `[d]`.
        pairs: of each two beyond what they do alone, `[d, d]`, symmetric, 0 on the diagonal.
        explained: out-of-bag R^2 of the forest: the share of the targets' variance that it foresees
            in points that it has not seen. At 0 or below the shares mean nothing.
    """

    main: Values
    pairs: Values
    explained: float


def decompose(
    places: Values, targets: Values, cells: Sequence[int], seed: int = 0, trees: int = TREES
) -> Decomposition:
    """Fit a forest and take its variance apart.

    Args:
        places: where the points lie in the unit cube, `[n, d]`.
        targets: one value a point, `[n]`.
        cells: into how many cells of equal length each axis is cut.
        seed: of forest and quasi-random points.
    """
    from scipy.stats import qmc
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        n_estimators=trees, min_samples_leaf=2, max_features=1.0, bootstrap=True, oob_score=True,
        random_state=seed, n_jobs=1,
    )  # fmt: skip
    forest.fit(places, targets)
    low, high, values = _leaves(forest, places.shape[1])
    width = high - low
    volume = width.prod(axis=1)
    overlaps = [_overlap(low[:, i], high[:, i], count) for i, count in enumerate(cells)]
    points = qmc.Sobol(places.shape[1], seed=seed).random(_QMC_POINTS)
    total = float(forest.predict(points).var())
    count = places.shape[1]
    main, pairs = np.zeros(count), np.zeros((count, count))
    if total <= 0:
        return Decomposition(main, pairs, 0.0)
    for i in range(count):
        main[i] = ((values * volume / width[:, i]) @ overlaps[i]).var()
    for i in range(count):
        for j in range(i):
            weight = values * volume / (width[:, i] * width[:, j])
            both = (overlaps[i] * weight[:, None]).T @ overlaps[j]
            pairs[i, j] = pairs[j, i] = max(both.var() - main[i] - main[j], 0.0)
    return Decomposition(main / total, pairs / total, float(forest.oob_score_))


def _leaves(forest: RandomForestRegressor, count: int) -> tuple[Values, Values, Values]:
    """Lower and upper corners `[leaves, d]` and values `[leaves]`; a value's sum is the forest."""
    low, high, values = [], [], []
    for tree in (estimator.tree_ for estimator in forest.estimators_):
        waiting = [(0, np.zeros(count), np.ones(count))]
        while waiting:
            node, below, above = waiting.pop()
            feature = tree.feature[node]
            if feature < 0:
                low.append(below)
                high.append(above)
                values.append(float(tree.value[node][0, 0]))
                continue
            left, right = above.copy(), below.copy()
            left[feature] = right[feature] = tree.threshold[node]
            waiting.append((tree.children_left[node], below, left))
            waiting.append((tree.children_right[node], right, above))
    return np.array(low), np.array(high), np.array(values) / len(forest.estimators_)


def _overlap(low: Values, high: Values, cells: int) -> Values:
    """The share of each cell of an axis that each leaf covers, `[leaves, cells]`."""
    edges = np.linspace(0.0, 1.0, cells + 1)
    ends = np.minimum(high[:, None], edges[1:]) - np.maximum(low[:, None], edges[:-1])
    covered: Values = np.clip(ends, 0.0, None) * cells
    return covered
