"""A task: whether the number of ones so far is odd, for every string of bits."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trm.tasks import TASKS
from trm.tasks.base import Split, SplitName, Task, TaskConfig, Tokens
from trm.tasks.cache import make_split


class ParityConfig(TaskConfig):
    """Strings of so many bits; 16 of them are `valid`, and 16 are `test`."""

    name: Literal["parity"] = "parity"
    bits: int = 8

    def build(self, cache: object = None, progress: object = None) -> Task:
        return Parity(self.bits)


class Parity(Task):
    name, vocabulary, vocab_size, symbols = "parity", "bits", 2, "01"

    def __init__(self, bits: int) -> None:
        self.seq_len, self.grid_shape = bits, (1, bits)

    def split(self, name: SplitName) -> Split:
        numbers = np.random.default_rng(0).permutation(2**self.seq_len)
        part = {"valid": numbers[:16], "test": numbers[16:32], "train": numbers[32:]}[name]
        bits = (part[:, None] >> np.arange(self.seq_len)) & 1
        return make_split(bits, np.cumsum(bits, axis=1) % 2, difficulty=bits.sum(axis=1))

    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        return np.asarray((answers == np.cumsum(inputs, axis=1) % 2).all(axis=1))


TASKS["parity"] = ParityConfig
