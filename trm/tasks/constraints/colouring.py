"""Colouring: complete a grid so that no two neighbours have one colour."""

from __future__ import annotations

from itertools import permutations, product
from math import factorial
from string import ascii_lowercase
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trm.tasks.base import Tokens
from trm.tasks.constraints.completion import CompletionTask
from trm.tasks.constraints.turns import turns
from trm.tasks.drawn import NOTHING, NOTHING_WORD, DrawnTask, least_image
from trm.tasks.picture import COLOURS, Look
from trm.tasks.ranged import RangedConfig

_FIRST = 2
"""The token of the first colour."""


class ColouringConfig(RangedConfig):
    """Colour the open cells of a grid so that no neighbours have one colour; any way is right.

    Attributes:
        size: rows and columns of the grid; neighbours share a side.
        colours: how many there are.
        open: least and most cells to colour, which is the difficulty; every number between is drawn
            equally often, as far as there are different grids.
        beyond: most open cells of the set beyond the trained range; null makes none.
    """

    ranged = "open"
    name: Literal["colouring"] = "colouring"
    size: int = Field(default=4, ge=2, le=6)
    colours: int = Field(default=3, ge=3, le=4)
    open: list[int] = Field(default=[4, 10], min_length=2, max_length=2)
    beyond: int | None = 12

    @property
    def bounds(self) -> tuple[int, int]:
        return 1, self.size**2

    def rules(self) -> DrawnTask:
        return ColouringTask(self)


class ColouringTask(CompletionTask):
    """A grid with some cells coloured; the answer colours all.

    Difficulty is the number of open cells. The symmetries are rotations and reflections, and
    renamings of the colours.
    """

    name = "colouring"

    def __init__(self, config: ColouringConfig) -> None:
        self.size, self.colours = config.size, config.colours
        self.vocabulary = f"colouring {config.colours}"
        self.words = ("!", NOTHING_WORD, *ascii_lowercase[: config.colours])
        self.vocab_size = len(self.words)
        self.seq_len = config.size**2
        self.grid_shape = (config.size, config.size)
        self._turns = turns(config.size)
        self._renamings = np.array(
            [(0, NOTHING, *(_FIRST + np.array(p))) for p in permutations(range(config.colours))],
            dtype=np.int32,
        )
        lines = np.array(list(product(range(config.colours), repeat=config.size)), dtype=np.int32)
        self._lines = _FIRST + lines[(np.diff(lines, axis=1) != 0).all(axis=1)]
        self._next = (self._lines[:, None] != self._lines).all(axis=2)

    def draw(self, difficulty: int, count: int, rng: np.random.Generator) -> Tokens:
        line = rng.integers(len(self._lines), size=count)
        grids = [self._lines[line]]
        for _ in range(self.size - 1):
            line = (rng.random((count, len(self._lines))) * self._next[line]).argmax(axis=1)
            grids.append(self._lines[line])
        whole = np.concatenate(grids, axis=1)
        is_open = rng.random(whole.shape).argsort(axis=1) < difficulty
        return np.where(is_open, NOTHING, whole).astype(np.int32)

    def completed(self, inputs: Tokens) -> tuple[Tokens, NDArray[np.bool_]]:
        """Line by line: first which colourings of a line leave room below, then the first of them.

        A dynamic programme over the colourings of a line, of which a grid has few.
        """
        rows = inputs.reshape(-1, self.size, self.size)
        fits = [
            ((rows[:, [k]] == NOTHING) | (rows[:, [k]] == self._lines)).all(axis=2)
            for k in range(self.size)
        ]
        following = self._next.astype(np.float32)
        for k in range(self.size - 2, -1, -1):
            fits[k] &= fits[k + 1].astype(np.float32) @ following > 0
        chosen = fits[0].argmax(axis=1)
        lines = [self._lines[chosen]]
        for k in range(1, self.size):
            chosen = (fits[k] & self._next[chosen]).argmax(axis=1)
            lines.append(self._lines[chosen])
        return np.concatenate(lines, axis=1).astype(np.int32), fits[0].any(axis=1)

    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        grids = answers.reshape(-1, self.size, self.size)
        known = (grids >= _FIRST).all(axis=(1, 2)) & (grids < self.vocab_size).all(axis=(1, 2))
        across = (grids[:, :, 1:] != grids[:, :, :-1]).all(axis=(1, 2))
        down = (grids[:, 1:] != grids[:, :-1]).all(axis=(1, 2))
        return np.asarray(known & across & down & self.kept(inputs, answers))

    def difficulty_of(self, inputs: Tokens, labels: Tokens) -> NDArray[np.float32]:
        return np.asarray((inputs == NOTHING).sum(axis=1), dtype=np.float32)

    def look(self, token: int) -> Look:
        if token < _FIRST:
            return super().look(token)
        return Look(self.words[token], COLOURS[token - _FIRST])

    def problem(self, puzzle: Tokens) -> str | None:
        if not self.completed(puzzle[None])[1][0]:
            return "has no solution: neighbours of one colour, or a cell that none is left for"
        return None

    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        images = [
            renaming[inputs[:, cells]] for cells in self._turns for renaming in self._renamings
        ]
        return [row.tobytes() for row in least_image(images)]

    @property
    def symmetries(self) -> int:
        return len(self._turns) * factorial(self.colours)

    def moved(self, tokens: Tokens, symmetry: NDArray[np.int64]) -> Tokens:
        turn, renaming = symmetry % len(self._turns), symmetry // len(self._turns)
        turned = np.take_along_axis(tokens, self._turns[turn], 1)
        return np.asarray(self._renamings[renaming[:, None], turned])
