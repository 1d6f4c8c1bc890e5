"""The geometry of a Sudoku grid, and the rules that decide whether a grid is solved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Boards = NDArray[np.uint8]
"""Grids `[n, cells]`, row by row: 0 is a blank cell, else the digit."""


@dataclass(frozen=True)
class Box:
    """A box of `rows` x `cols` cells; the grid's side is `rows * cols`."""

    rows: int
    cols: int

    @property
    def side(self) -> int:
        """Digits, and cells of a row, column or box."""
        return self.rows * self.cols

    @property
    def cells(self) -> int:
        """Cells of the grid."""
        return self.side**2

    @property
    def square(self) -> bool:
        """Whether transposing a valid grid gives a valid grid of the same box."""
        return self.rows == self.cols

    def units(self) -> NDArray[np.intp]:
        """Cell indices `[3 * side, side]` of the rows, then the columns, then the boxes."""
        grid = np.arange(self.cells).reshape(self.side, self.side)
        boxes = grid.reshape(self.cols, self.rows, self.rows, self.cols).swapaxes(1, 2)
        return np.concatenate([grid, grid.T, boxes.reshape(self.side, self.side)])


MIN_CLUES = {4: 4, 6: 8, 8: 14, 9: 17, 16: 55}
"""Fewest givens of a puzzle with one solution, by side (2x2, 2x3, 2x4 and 3x3 boxes; of 4x4 boxes
the fewest that are known; https://en.wikipedia.org/wiki/Mathematics_of_Sudoku)."""


def is_solved(boards: Boards, box: Box) -> NDArray[np.bool_]:
    """Whether every row, column and box of `[n, cells]` holds every digit once; `[n]`."""
    digits = np.arange(1, box.side + 1, dtype=np.uint8)
    in_units = np.sort(boards[:, box.units()], axis=-1)
    return np.asarray((in_units == digits).all(axis=(1, 2)))


def keeps_givens(puzzles: Boards, answers: Boards) -> NDArray[np.bool_]:
    """Whether `answers` `[n, cells]` agree with every given of `puzzles`; `[n]`."""
    return np.asarray(((puzzles == answers) | (puzzles == 0)).all(axis=1))
