"""The eight rotations and reflections of a square grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def turns(size: int) -> NDArray[np.intp]:
    """For each symmetry, where each cell's content comes from, `[8, size * size]`.

    >>> turns(2).tolist()[:2]
    [[0, 1, 2, 3], [2, 0, 3, 1]]
    """
    grid = np.arange(size * size).reshape(size, size)
    images = [
        np.rot90(np.fliplr(grid) if mirrored else grid, -quarter).ravel()
        for mirrored in (False, True)
        for quarter in range(4)
    ]
    return np.array(images)
