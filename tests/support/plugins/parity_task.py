"""A task: whether the number of ones so far is odd, for every string of bits."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trm.tasks import TASKS
from trm.tasks.base import Progress, Split, SplitName, Task, TaskConfig, Tokens
from trm.tasks.cache import make_split


class ParityConfig(TaskConfig):
    """Strings of bits.

    Attributes:
        bits: length of a string.
        held_out: strings that go to `valid`, and as many to `test`.
    """

    name: Literal["parity"] = "parity"
    bits: int = 8
    held_out: int = 16

    def build(self, cache: Path | None = None, progress: Progress | None = None) -> Task:
        return Parity(self)


class Parity(Task):
    name, vocabulary, vocab_size, symbols = "parity", "bits", 2, "01"

    def __init__(self, config: ParityConfig) -> None:
        self.seq_len, self.grid_shape, k = config.bits, (1, config.bits), config.held_out
        numbers = np.random.default_rng(0).permutation(2**config.bits)
        self.strings = (numbers[:, None] >> np.arange(config.bits)) & 1
        self.parts = {"valid": slice(k), "test": slice(k, 2 * k), "train": slice(2 * k, None)}

    def split(self, name: SplitName) -> Split:
        bits = self.strings[self.parts[name]]
        return make_split(bits, np.cumsum(bits, axis=1) % 2, difficulty=bits.sum(axis=1))

    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        return np.asarray((answers == np.cumsum(inputs, axis=1) % 2).all(axis=1))


TASKS["parity"] = ParityConfig
