"""Tasks that hold their splits from the start, and move examples only if they are to."""

from __future__ import annotations

import numpy as np

from trm.tasks.base import Split, SplitName, Task, Tokens


class HeldTask(Task):
    """Splits by name; `moved` gives images, which `augment` asks for where the config wants it."""

    _splits: dict[SplitName, Split]

    def __init__(self, splits: dict[SplitName, Split], augments: bool = False) -> None:
        self._splits, self.augments = splits, augments

    def split(self, name: SplitName) -> Split:
        return self._splits[name]

    def augment(
        self, inputs: Tokens, labels: Tokens, rng: np.random.Generator
    ) -> tuple[Tokens, Tokens]:
        return self.moved(inputs, labels, rng) if self.augments else (inputs, labels)

    def moved(
        self, inputs: Tokens, labels: Tokens, rng: np.random.Generator
    ) -> tuple[Tokens, Tokens]:
        """Each puzzle and its label, `[b, seq_len]`, under a random symmetry of the rules."""
        return inputs, labels
