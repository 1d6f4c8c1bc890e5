"""Answers that are wrong on purpose, to see that a verifier refuses them."""

from __future__ import annotations

import numpy as np

from trm.tasks.base import IGNORE, Task, Tokens

_BY_CHANCE = 0.5
"""The share of answers with one changed cell that may be right after all, as where a cell behind an
answer's end does not matter."""


def corrupted(task: Task, labels: Tokens) -> list[tuple[str, Tokens, float]]:
    """Answers that are no label, in words, and the share of them that may be right after all."""
    counted = labels != IGNORE
    rng = np.random.default_rng(0)
    every = np.where(counted, (labels + 1) % task.vocab_size, labels)
    chosen = np.where(counted, rng.random(labels.shape), -1.0).argmax(axis=1)
    rows = np.arange(len(labels))
    one = labels.copy()
    by = rng.integers(1, task.vocab_size, size=len(labels)) if task.vocab_size > 1 else 0
    one[rows, chosen] = (one[rows, chosen] + by) % task.vocab_size
    return [
        ("of which every cell is wrong", every.astype(np.int32), 0.0),
        ("of which one cell is wrong", one.astype(np.int32), _BY_CHANCE),
    ]
