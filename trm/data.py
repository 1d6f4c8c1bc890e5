"""The order in which a run sees its training examples: seeded, resumable, never ending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trm.tasks.base import Split, Task, Tokens

_ORDER, _AUGMENT = 1, 2


@dataclass(frozen=True)
class Examples:
    """Fresh training examples: tokens `[n, seq_len]`, labels alike, puzzle identifiers `[n]`."""

    inputs: Tokens
    labels: Tokens
    puzzle_identifiers: Tokens


class ExampleStream:
    """Every example once an epoch, in an order drawn from (seed, epoch), augmented on the way."""

    def __init__(self, task: Task, split: Split, seed: int) -> None:
        self._task = task
        self._split = split
        self._seed = seed
        self._rng = np.random.default_rng([seed, _AUGMENT])
        self.drawn = 0
        self._epoch = -1
        self._order = np.empty(0, dtype=np.int64)

    def take(self, count: int) -> Examples:
        """The next `count` examples, over the end of an epoch if need be."""
        size = len(self._split)
        positions = np.arange(self.drawn, self.drawn + count)
        rows = np.empty(count, dtype=np.int64)
        for epoch in range(self.drawn // size, (self.drawn + count - 1) // size + 1):
            if epoch != self._epoch:
                self._epoch = epoch
                self._order = np.random.default_rng([self._seed, _ORDER, epoch]).permutation(size)
            here = positions // size == epoch
            rows[here] = self._order[positions[here] % size]
        self.drawn += count
        inputs, labels = self._task.augment(
            self._split.inputs[rows], self._split.labels[rows], self._rng
        )
        return Examples(inputs, labels, self._split.puzzle_identifiers[rows])

    def state_dict(self) -> dict[str, Any]:
        """Position and augmentation state, as plain JSON values."""
        return {"drawn": self.drawn, "augment": self._rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.drawn = state["drawn"]
        self._rng.bit_generator.state = state["augment"]
