"""Coloured grids as tokens, and their images under rotations, reflections and other colours.

Tokens as in the reference's ARC data: 0 padding, 1 end, colour c is c + 2, on 30x30 cells. A grid's
end is an L: the row below it and the column right of it, where these lie inside.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trm.tasks.base import Tokens

SIDE = 30
COLOURS = 10
PAD, END, FIRST = 0, 1, 2
VOCABULARY = FIRST + COLOURS
PALETTE = (
    "#000000", "#0074d9", "#ff4136", "#2ecc40", "#ffdc00",
    "#aaaaaa", "#f012be", "#ff851b", "#7fdbff", "#870c25",
)  # fmt: skip
"""What colours 0 to 9 are in pictures, as on the site of the contest."""
IMAGES = 8
"""Rotations and reflections of a square."""

Grid = NDArray[np.uint8]
"""Colours 0 to 9, `[rows, columns]`."""


def encode(grid: Grid, row: int = 0, column: int = 0) -> Tokens:
    """A grid whose first cell lies at a place, as tokens `[900]`.

    >>> tokens = encode(np.array([[3]], dtype=np.uint8), 1, 2).reshape(30, 30)
    >>> tokens[1:3, 2:4].tolist()
    [[5, 1], [1, 0]]
    """
    canvas = np.zeros((SIDE, SIDE), dtype=np.int32)
    rows, columns = grid.shape
    bottom, right = row + rows, column + columns
    canvas[row:bottom, column:right] = grid.astype(np.int32) + FIRST
    if bottom < SIDE:
        canvas[bottom, column:right] = END
    if right < SIDE:
        canvas[row:bottom, right] = END
    return canvas.ravel()


def crop(tokens: Tokens, row: int = 0, column: int = 0) -> Grid:
    """The largest grid of colours `[rows, columns]` whose first cell lies at a place.

    Of equally large ones the one with fewer rows; empty where that cell is no colour. It is how
    the reference reads an answer.
    """
    canvas = tokens.reshape(SIDE, SIDE)[row:, column:]
    coloured = canvas >= FIRST
    # How far the colours of each row reach, cut to what all rows above reach too.
    runs = np.where(coloured.all(axis=1), coloured.shape[1], (~coloured).argmax(axis=1))
    widths = np.minimum.accumulate(runs)
    best = int((widths * np.arange(1, len(widths) + 1)).argmax())
    rows, columns = (best + 1, int(widths[best])) if widths[best] else (0, 0)
    return np.asarray(canvas[:rows, :columns] - FIRST, dtype=np.uint8)


def origin(tokens: Tokens) -> tuple[int, int]:
    """The first row and column with a colour; (0, 0) where there is none."""
    coloured = tokens.reshape(SIDE, SIDE) >= FIRST
    return int(coloured.any(axis=1).argmax()), int(coloured.any(axis=0).argmax())


def turned(grid: Grid, image: int) -> Grid:
    """One of the eight images of a grid: `image % 4` quarter turns, of its transpose from 4 on."""
    return np.rot90(grid.T if image >= 4 else grid, image % 4)


def unturned(grid: Grid, image: int) -> Grid:
    """The grid of which `turned` made this one."""
    back = np.rot90(grid, -(image % 4))
    return back.T if image >= 4 else back


def canonical(pair: tuple[Grid, Grid]) -> bytes:
    """A key that all images of a pair of grids share: eight of the square, colours 1-9 renamed.

    Colour 0, the background, keeps its name, as in every image.
    """
    keys = []
    for image in range(IMAGES):
        shapes, cells = b"", []
        for grid in pair:
            moved = turned(grid, image)
            shapes += bytes(moved.shape)
            cells.append(moved.ravel())
        flat = np.concatenate(cells)
        names = np.zeros(COLOURS, dtype=np.uint8)
        found, first = np.unique(flat, return_index=True)
        order = found[np.argsort(first)]
        order = order[order != 0]
        names[order] = np.arange(1, len(order) + 1, dtype=np.uint8)
        keys.append(shapes + names[flat].tobytes())
    return min(keys)
