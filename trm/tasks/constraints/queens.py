"""Queens: complete a board so that no queen attacks another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from curricula.limits import MOST_EXAMPLES
from trm.tasks.base import Tokens
from trm.tasks.constraints.completion import CompletionTask
from trm.tasks.constraints.turns import turns
from trm.tasks.drawn import NOTHING, NOTHING_WORD, DrawnTask, least_image
from trm.tasks.ranged import RangedConfig

_QUEEN, _NONE = 2, 3
_MOST_SIZE = 10
"""724 solutions; each size more has several times as many."""


class QueensConfig(RangedConfig):
    """Place the queens that are missing so that no two attack each other; any such board is right.

    Attributes:
        size: rows, columns and queens of the board.
        place: least and most queens that are missing, which is the difficulty; every number between
            is drawn equally often, as far as there are different boards.
        beyond: most missing queens of the set beyond the trained range; null makes none.
    """

    ranged = "place"
    name: Literal["queens"] = "queens"
    size: int = Field(default=8, ge=4, le=_MOST_SIZE)
    place: list[int] = Field(default=[2, 5], min_length=2, max_length=2)
    beyond: int | None = 6
    train_examples: int = Field(default=1_200, ge=1, le=MOST_EXAMPLES)
    valid_examples: int = Field(default=200, ge=1, le=MOST_EXAMPLES)
    test_examples: int = Field(default=200, ge=1, le=MOST_EXAMPLES)

    @property
    def bounds(self) -> tuple[int, int]:
        return 1, self.size

    def rules(self) -> DrawnTask:
        return QueensTask(self)


class QueensTask(CompletionTask):
    """A board with some of its queens; the answer says of each open cell whether it gets one.

    Difficulty is the number of queens to place. The symmetries are rotations and reflections.
    """

    name = "queens"
    vocabulary = "queens"
    words = ("!", NOTHING_WORD, "Q", "-")
    vocab_size = len(words)

    def __init__(self, config: QueensConfig) -> None:
        self.size = config.size
        self.seq_len = config.size**2
        self.grid_shape = (config.size, config.size)
        self._turns = turns(config.size)
        self._solutions = np.array(list(solutions(config.size)))

    def draw(self, difficulty: int, count: int, rng: np.random.Generator) -> Tokens:
        columns = self._solutions[rng.integers(len(self._solutions), size=count)]
        missing = rng.random((count, self.size)).argsort(axis=1) < difficulty
        boards = np.full((count, self.size, self.size), NOTHING, dtype=np.int32)
        row, line = np.nonzero(~missing)
        boards[row, line, columns[row, line]] = _QUEEN
        return boards.reshape(count, -1)

    def completed(self, inputs: Tokens) -> tuple[Tokens, NDArray[np.bool_]]:
        queens = inputs.reshape(-1, self.size, self.size) == _QUEEN
        given, where = queens.any(axis=2), queens.argmax(axis=2)
        fits = ~given[:, None] | (where[:, None] == self._solutions)
        whole = fits.all(axis=2)
        columns = self._solutions[whole.argmax(axis=1)]
        boards = np.where(columns[:, :, None] == np.arange(self.size), _QUEEN, _NONE)
        has_any = whole.any(axis=1) & (queens.sum(axis=2) <= 1).all(axis=1)
        return boards.reshape(inputs.shape).astype(np.int32), has_any

    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        boards = answers.reshape(-1, self.size, self.size)
        queens = boards == _QUEEN
        known = (queens | (boards == _NONE)).all(axis=(1, 2))
        each = (queens.sum(axis=1) == 1).all(axis=1) & (queens.sum(axis=2) == 1).all(axis=1)
        diagonals = np.zeros(len(boards), dtype=np.bool_)
        for board in (queens, queens[:, :, ::-1]):
            for offset in range(1 - self.size, self.size):
                diagonals |= board.diagonal(offset, 1, 2).sum(axis=1) > 1
        return np.asarray(known & each & ~diagonals & self.kept(inputs, answers))

    def difficulty_of(self, inputs: Tokens, labels: Tokens) -> NDArray[np.float32]:
        return np.asarray((self.size - (inputs == _QUEEN).sum(axis=1)), dtype=np.float32)

    def problem(self, puzzle: Tokens) -> str | None:
        if not np.isin(puzzle, (NOTHING, _QUEEN)).all():
            return "needs Q or . in each cell"
        if not self.completed(puzzle[None])[1][0]:
            return "has no solution: its queens attack each other, or leave no room for the others"
        return None

    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        return [row.tobytes() for row in least_image([inputs[:, cells] for cells in self._turns])]

    @property
    def symmetries(self) -> int:
        return len(self._turns)

    def moved(self, tokens: Tokens, symmetry: NDArray[np.int64]) -> Tokens:
        return np.take_along_axis(tokens, self._turns[symmetry], 1)


def solutions(size: int) -> Iterator[list[int]]:
    """Every way to place `size` queens, as the column of each row's, in lexicographic order.

    >>> list(solutions(4))
    [[1, 3, 0, 2], [2, 0, 3, 1]]
    """

    def placed(columns: list[int]) -> Iterator[list[int]]:
        row = len(columns)
        if row == size:
            yield columns
            return
        for column in range(size):
            if all(column != c and abs(column - c) != row - r for r, c in enumerate(columns)):
                yield from placed([*columns, column])

    return placed([])
