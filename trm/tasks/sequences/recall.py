"""Associative recall: pairs of a key and a value, then keys whose values are asked for."""

from __future__ import annotations

from string import ascii_lowercase
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trm.tasks.base import IGNORE, Tokens
from trm.tasks.drawn import NOTHING, NOTHING_WORD, DrawnTask
from trm.tasks.ranged import RangedConfig

_ASK = 2
_FIRST = 3
"""The token of the first key; the values follow the keys."""


class RecallConfig(RangedConfig):
    """Find the values of some keys among pairs of a key and a value (associative recall).

    Attributes:
        pairs: least and most pairs, which is the difficulty; every number between is drawn equally
            often. The keys of a puzzle differ.
        beyond: most pairs of the set beyond the trained range; null makes none.
        keys: how many keys there are, the letters from a.
        values: how many values there are, the numbers from 0.
        queries: how many keys are asked for, each at least once among the pairs.
    """

    ranged = "pairs"
    name: Literal["recall"] = "recall"
    pairs: list[int] = Field(default=[2, 6], min_length=2, max_length=2)
    beyond: int | None = 8
    keys: int = Field(default=16, ge=2, le=26)
    values: int = Field(default=10, ge=2, le=100)
    queries: int = Field(default=1, ge=1, le=64)

    @property
    def bounds(self) -> tuple[int, int]:
        return 1, self.keys

    def rules(self) -> DrawnTask:
        return RecallTask(self)


class RecallTask(DrawnTask):
    """Two rows, keys above values: the pairs, then in the last columns the keys that are asked for.

    Difficulty is the number of pairs. The symmetries are the orders of the pairs. Renaming keys or
    values keeps the rules too, but hardly two puzzles would then be different.
    """

    name = "recall"
    padded = True

    def __init__(self, config: RecallConfig) -> None:
        self.keys, self.values, self.queries = config.keys, config.values, config.queries
        self.vocabulary = f"recall {config.keys} {config.values}"
        values = (str(value) for value in range(config.values))
        self.words = ("!", NOTHING_WORD, "?", *ascii_lowercase[: config.keys], *values)
        self.vocab_size = len(self.words)
        self.columns = max((*config.trained, *config.further))
        self.grid_shape = (2, self.columns + config.queries)
        self.seq_len = 2 * self.grid_shape[1]

    def draw(self, difficulty: int, count: int, rng: np.random.Generator) -> Tokens:
        keys = rng.permuted(np.tile(np.arange(self.keys), (count, 1)), axis=1)[:, :difficulty]
        values = rng.integers(self.values, size=(count, difficulty))
        asked = rng.integers(difficulty, size=(count, self.queries))
        puzzles = np.full((count, *self.grid_shape), NOTHING, dtype=np.int32)
        puzzles[:, 0, :difficulty] = keys + _FIRST
        puzzles[:, 1, :difficulty] = values + _FIRST + self.keys
        puzzles[:, 0, self.columns :] = np.take_along_axis(keys, asked, 1) + _FIRST
        puzzles[:, 1, self.columns :] = _ASK
        return puzzles.reshape(count, -1)

    def answer(self, inputs: Tokens) -> Tokens:
        grids = inputs.reshape(-1, *self.grid_shape)
        held, asked = grids[:, 0, : self.columns], grids[:, 0, self.columns :]
        where = (held[:, None, :] == asked[:, :, None]).argmax(axis=2)
        labels = np.full(grids.shape, IGNORE, dtype=np.int32)
        labels[:, 1, self.columns :] = np.take_along_axis(grids[:, 1, : self.columns], where, 1)
        return labels.reshape(inputs.shape)

    def difficulty_of(self, inputs: Tokens, labels: Tokens) -> NDArray[np.float32]:
        return np.asarray((self._pairs(inputs)[:, 0] >= _FIRST).sum(axis=1), dtype=np.float32)

    def problem(self, puzzle: Tokens) -> str | None:
        keys, values = puzzle.reshape(self.grid_shape)
        count = int((keys[: self.columns] >= _FIRST).sum())
        held, first_value = keys[:count], _FIRST + self.keys
        if not count or (held < _FIRST).any() or (values[:count] < first_value).any():
            return "needs one or more keys from the left, each with a value below it"
        if (keys >= first_value).any() or len(set(held.tolist())) < count:
            return "needs keys in the first row, each once among the pairs"
        if (puzzle.reshape(self.grid_shape)[:, count : self.columns] != NOTHING).any():
            return "needs . between the pairs and the keys that are asked for"
        if not set(keys[self.columns :].tolist()) <= set(held.tolist()):
            return "asks for a key that no pair has"
        if (values[self.columns :] != _ASK).any():
            return "needs ? below each key that is asked for"
        return None

    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        return [row.tobytes() for row in self._ordered(inputs, self._pairs(inputs)[:, 0])]

    def move(self, inputs: Tokens, rng: np.random.Generator) -> Tokens:
        return self._ordered(inputs, rng.random((len(inputs), self.columns)))

    def _pairs(self, inputs: Tokens) -> Tokens:
        return inputs.reshape(-1, *self.grid_shape)[:, :, : self.columns]

    def _ordered(
        self, inputs: Tokens, by: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
    ) -> Tokens:
        """Pairs in the order of numbers `[n, columns]`, what holds nothing still at the end."""
        pairs = self._pairs(inputs)
        order = np.lexsort((by, pairs[:, 0] < _FIRST), axis=1)
        moved = inputs.reshape(-1, *self.grid_shape).copy()
        moved[:, :, : self.columns] = np.take_along_axis(pairs, order[:, None, :], 2)
        return moved.reshape(inputs.shape)
