"""Sort a row of numbers in place."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trm.tasks.base import IGNORE, Tokens
from trm.tasks.drawn import NOTHING, NOTHING_WORD, DrawnTask
from trm.tasks.ranged import RangedConfig

_FIRST = 2
"""The token of the number 0."""
_MOST_LENGTH = 256


class SortConfig(RangedConfig):
    """Sort a row of numbers, the least first.

    Attributes:
        values: how many numbers there are, from 0; a row may hold one several times.
        length: least and most numbers of a row, which is the difficulty; every length between is
            drawn equally often, as far as there are different rows.
        beyond: most numbers of the set beyond the trained range; null makes none.
    """

    ranged = "length"
    name: Literal["sort"] = "sort"
    values: int = Field(default=10, ge=2, le=1_000)
    length: list[int] = Field(default=[4, 8], min_length=2, max_length=2)
    beyond: int | None = 10

    @property
    def bounds(self) -> tuple[int, int]:
        return 2, _MOST_LENGTH

    def rules(self) -> DrawnTask:
        return SortTask(self)


class SortTask(DrawnTask):
    """A row of numbers; the sorted ones stand in the same cells.

    Difficulty is how many there are. The symmetries are all orders of a row: no two puzzles hold
    the same numbers.
    """

    name = "sort"
    padded = True

    def __init__(self, config: SortConfig) -> None:
        self.values = config.values
        self.vocabulary = f"sort {config.values}"
        self.words = ("!", NOTHING_WORD, *(str(value) for value in range(config.values)))
        self.vocab_size = len(self.words)
        self.seq_len = max((*config.trained, *config.further))
        self.grid_shape = (1, self.seq_len)

    def draw(self, difficulty: int, count: int, rng: np.random.Generator) -> Tokens:
        rows = np.full((count, self.seq_len), NOTHING, dtype=np.int32)
        rows[:, :difficulty] = _FIRST + rng.integers(self.values, size=(count, difficulty))
        return rows

    def answer(self, inputs: Tokens) -> Tokens:
        last = _FIRST + self.values
        ordered = np.sort(np.where(inputs >= _FIRST, inputs, last), axis=1)
        return np.where(ordered < last, ordered, IGNORE).astype(np.int32)

    def difficulty_of(self, inputs: Tokens, labels: Tokens) -> NDArray[np.float32]:
        return np.asarray((inputs >= _FIRST).sum(axis=1), dtype=np.float32)

    def problem(self, puzzle: Tokens) -> str | None:
        count = int((puzzle >= _FIRST).sum())
        if count < 2 or (puzzle[:count] < _FIRST).any():
            return "needs two or more numbers, and then . to the end"
        return None

    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        return [row.tobytes() for row in self.answer(inputs)]

    def move(self, inputs: Tokens, rng: np.random.Generator) -> Tokens:
        order = np.lexsort((rng.random(inputs.shape), inputs < _FIRST), axis=1)
        return np.take_along_axis(inputs, order, 1)
