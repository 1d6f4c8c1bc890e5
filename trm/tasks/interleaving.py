"""An even order of the examples of several parts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def interleaved(sizes: list[int]) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """An order of the examples of concatenated parts, and the part of each in that order.

    Each part keeps its own order and is spread evenly, so that any number of first examples holds
    every part in proportion, up to rounding.
    """
    where = np.concatenate([(np.arange(size) + 0.5) / size for size in sizes])
    part = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    order = np.lexsort((part, where))
    return order, part[order]
