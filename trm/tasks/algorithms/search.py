"""Binary search: which cells of a sorted row does it look at, and in what order?"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trm.tasks.base import IGNORE, Tokens
from trm.tasks.drawn import NOTHING, NOTHING_WORD, DrawnTask
from trm.tasks.ranged import RangedConfig

_NEVER = 2
"""The label of a cell that is not looked at; those that are follow, in the order of probes."""


class BinarySearchConfig(RangedConfig):
    """Binary search for a number in a sorted row: mark the cells that it looks at, in their order.

    Attributes:
        values: how many numbers there are, from 0; a row holds none of them twice.
        length: least and most numbers of a row, which is the difficulty; every length between is
            drawn equally often, as far as there are different rows.
        beyond: most numbers of the set beyond the trained range; null makes none.
    """

    ranged = "length"
    name: Literal["search"] = "search"
    values: int = Field(default=32, ge=4, le=1_000)
    length: list[int] = Field(default=[4, 10], min_length=2, max_length=2)
    beyond: int | None = 12

    @property
    def bounds(self) -> tuple[int, int]:
        return 1, self.values - 1

    def rules(self) -> DrawnTask:
        return BinarySearchTask(self)


class BinarySearchTask(DrawnTask):
    """The number that is sought, then the sorted row; the answer marks the row's cells.

    The search looks at the middle of what is left (the lower one of two) and ends when it has found
    the number or nothing is left. Difficulty is the length of the row. The symmetries add one
    number to all.
    """

    name = "search"
    padded = True

    def __init__(self, config: BinarySearchConfig) -> None:
        self.values = config.values
        self.vocabulary = f"search {config.values}"
        self.columns = max((*config.trained, *config.further))
        self.probes = self.columns.bit_length()
        marks = ("-", *(f"#{probe + 1}" for probe in range(self.probes)))
        self.words = ("!", NOTHING_WORD, *marks, *(str(value) for value in range(config.values)))
        self._first = _NEVER + len(marks)
        self.vocab_size = len(self.words)
        self.seq_len = 1 + self.columns
        self.grid_shape = (1, self.seq_len)

    def draw(self, difficulty: int, count: int, rng: np.random.Generator) -> Tokens:
        every = np.tile(np.arange(self.values), (count, 1))
        held = np.sort(rng.permuted(every, axis=1)[:, :difficulty], axis=1)
        known = held[np.arange(count), rng.integers(difficulty, size=count)]
        sought = np.where(rng.random(count) < 0.5, known, rng.integers(self.values, size=count))
        puzzles = np.full((count, self.seq_len), NOTHING, dtype=np.int32)
        puzzles[:, 0] = sought + self._first
        puzzles[:, 1 : difficulty + 1] = held + self._first
        return puzzles

    def answer(self, inputs: Tokens) -> Tokens:
        sought, row = inputs[:, 0], inputs[:, 1:]
        there = row >= self._first
        low, high = np.zeros(len(inputs), dtype=np.int64), there.sum(axis=1) - 1
        labels = np.full(inputs.shape, IGNORE, dtype=np.int32)
        labels[:, 1:] = np.where(there, _NEVER, IGNORE)
        for probe in range(self.probes):
            (left,) = np.nonzero(low <= high)
            middle = (low[left] + high[left]) // 2
            labels[left, 1 + middle] = _NEVER + 1 + probe
            value, wanted = row[left, middle], sought[left]
            low[left] = np.where(value < wanted, middle + 1, low[left])
            high[left] = np.where(value > wanted, middle - 1, high[left])
            found = left[value == wanted]
            high[found] = low[found] - 1
        return np.where((labels >= 0) & (inputs < self._first), IGNORE, labels).astype(np.int32)

    def difficulty_of(self, inputs: Tokens, labels: Tokens) -> NDArray[np.float32]:
        return np.asarray((inputs[:, 1:] >= self._first).sum(axis=1), dtype=np.float32)

    def problem(self, puzzle: Tokens) -> str | None:
        count = int((puzzle[1:] >= self._first).sum())
        row = puzzle[1 : count + 1]
        if puzzle[0] < self._first or not count or (row < self._first).any():
            return "needs the number that is sought, then one or more numbers, and . to the end"
        if (np.diff(row) <= 0).any():
            return "needs numbers that rise after the first, which is sought"
        if (puzzle[count + 1 :] != NOTHING).any():
            return "needs . after the last number"
        return None

    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        down = self._room(inputs)[0]
        return [row.tobytes() for row in self._added(inputs, -down)]

    def move(self, inputs: Tokens, rng: np.random.Generator) -> Tokens:
        down, up = self._room(inputs)
        return self._added(inputs, rng.integers(-down, up + 1))

    def _room(self, inputs: Tokens) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How far each puzzle's numbers could go down, and up."""
        numbers = inputs >= self._first
        last = self._first + self.values - 1
        down = np.where(numbers, inputs, last).min(axis=1) - self._first
        up = last - np.where(numbers, inputs, self._first).max(axis=1)
        return down.astype(np.int64), up.astype(np.int64)

    def _added(self, inputs: Tokens, number: NDArray[np.int64]) -> Tokens:
        moved = np.where(inputs >= self._first, inputs + number[:, None], inputs)
        return moved.astype(np.int32)
