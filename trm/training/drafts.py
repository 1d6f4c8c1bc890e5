"""Drafts for training: labels in which some cells are redrawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trm.tasks.base import IGNORE, Task, Tokens
from trm.train_config import DraftConfig


def make_drafts(
    inputs: Tokens,
    labels: Tokens,
    task: Task,
    config: DraftConfig,
    corruption: float,
    draw: Callable[[tuple[int, int]], NDArray[np.float32]],
) -> Tokens:
    """What examples begin from, int32 `[n, seq_len]`, `IGNORE` where they begin from nothing.

    A row has a draft with chance `config.share`. Each of its cells that the input leaves open is
    redrawn with the row's own chance, uniform below `corruption`; the others are as in the label.

    Args:
        inputs: `[n, seq_len]`.
        labels: likewise, `IGNORE` where there is none.
        corruption: the largest chance.
        draw: uniform numbers in [0, 1) of a shape.
    """
    rows, cells = labels.shape
    drawn = draw((rows, 2 + 2 * cells))
    drafted, own = drawn[:, :1] < config.share, corruption * drawn[:, 1:2]
    redrawn = (drawn[:, 2 : 2 + cells] < own) & task.unknown(inputs)
    other = inputs
    if config.corrupt_with == "random":
        places = np.minimum((drawn[:, 2 + cells :] * cells).astype(np.int64), cells - 1)
        other = np.take_along_axis(labels, places, axis=1)
        other = np.where(other == IGNORE, labels, other)
    drafts = np.where(redrawn, other, labels)
    return np.where(drafted & (labels != IGNORE), drafts, IGNORE).astype(np.int32)
