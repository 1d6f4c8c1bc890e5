"""A task: whether the number of ones so far is odd, for every string of bits."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trm.errors import UserError
from trm.tasks import TASKS
from trm.tasks.base import Progress, Split, SplitName, Task, TaskConfig, Tokens
from trm.tasks.cache import make_split


class ParityConfig(TaskConfig):
    """Strings of bits.

    Attributes:
        bits: length of a string.
        held_out: strings that go to `valid`, and as many to `test`.
        seed: draws the splits.
    """

    name: Literal["parity"] = "parity"
    bits: int = Field(default=8, ge=4, le=16)
    held_out: int = Field(default=16, ge=1)
    seed: int = Field(default=0, ge=0)

    def build(self, cache: Path | None = None, progress: Progress | None = None) -> Task:
        return Parity(self)


class Parity(Task):
    name, vocabulary, vocab_size = "parity", "bits", 2

    def __init__(self, config: ParityConfig) -> None:
        self.seq_len, self.grid_shape = config.bits, (1, config.bits)
        numbers = np.random.default_rng(config.seed).permutation(2**config.bits)
        bits = (numbers[:, None] >> np.arange(config.bits)) & 1
        parts = np.split(bits, [config.held_out, 2 * config.held_out])
        names: tuple[SplitName, ...] = ("test", "valid", "train")
        # Difficulty is the number of ones.
        self._splits = {
            name: make_split(part, np.cumsum(part, axis=1) % 2, part.sum(axis=1))
            for name, part in zip(names, parts, strict=True)
        }

    def split(self, name: SplitName) -> Split:
        return self._splits[name]

    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        return np.asarray((answers == np.cumsum(inputs, axis=1) % 2).all(axis=1))

    def unknown(self, inputs: Tokens) -> NDArray[np.bool_]:
        return np.ones(inputs.shape, dtype=np.bool_)

    def parse(self, text: str) -> Tokens:
        if len(text) != self.seq_len or set(text) - {"0", "1"}:
            raise UserError("puzzle", text, f"needs {self.seq_len} characters, 0 or 1")
        return np.array([int(bit) for bit in text], dtype=np.int32)

    def show(self, tokens: Tokens, given: Tokens | None = None) -> str:
        return "".join(map(str, tokens))


TASKS["parity"] = ParityConfig
