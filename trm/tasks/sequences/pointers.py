"""Follow pointers for k hops: each cell names the next one; the answer marks the way or its end."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trm.tasks.base import IGNORE, Tokens
from trm.tasks.drawn import NOTHING, NOTHING_WORD, DrawnTask, least_image
from trm.tasks.ranged import RangedConfig

_MARK = 2
_PASSED = 3
_FIRST = 4
"""The token of the first cell's name."""
_MOST_CELLS = 64


class PointersConfig(RangedConfig):
    """Follow pointers for k hops from a marked cell; mark the cell where they end.

    Attributes:
        cells: how many cells there are, each with a pointer to one.
        shape: what the pointers are: one `cycle` through all cells, a `permutation`, or any `map`.
        hops: least and most hops, which is the difficulty; every number between is drawn equally
            often.
        beyond: most hops of the set beyond the trained range; null makes none.
        targets: what is to be marked: the `last` cell alone, or all of the `path` to it; the last
            has its own mark, also where the path has passed it before.
    """

    ranged = "hops"
    name: Literal["pointers"] = "pointers"
    cells: int = Field(default=8, ge=3, le=_MOST_CELLS)
    shape: Literal["cycle", "permutation", "map"] = "cycle"
    hops: list[int] = Field(default=[1, 6], min_length=2, max_length=2)
    beyond: int | None = 7
    targets: Literal["last", "path"] = "path"

    @property
    def bounds(self) -> tuple[int, int]:
        return 1, self.cells

    def rules(self) -> DrawnTask:
        return PointersTask(self)


class PointersTask(DrawnTask):
    """Two rows: where each cell points, the start with an @, and a mark for each hop.

    Difficulty is the number of hops. The symmetries are rotations: each cell moves on by the same
    number of places, and so do the names. Any other renaming of the cells keeps the rules too, but
    all cycles are alike under it, so that no splits could be kept apart.
    """

    name = "pointers"

    def __init__(self, config: PointersConfig) -> None:
        self.cells = config.cells
        self.shape = config.shape
        self.path = config.targets == "path"
        self.vocabulary = f"pointers {config.cells} {config.shape} {config.targets}"
        names = [str(k + 1) for k in range(config.cells)]
        self.words = ("!", NOTHING_WORD, "@", "o", *names, *(f"{name}@" for name in names))
        self.vocab_size = len(self.words)
        self.seq_len = 2 * config.cells
        self.grid_shape = (2, config.cells)

    def draw(self, difficulty: int, count: int, rng: np.random.Generator) -> Tokens:
        n, rows = self.cells, np.arange(count)
        order = rng.permuted(np.tile(np.arange(n), (count, 1)), axis=1)
        pointers = order
        if self.shape == "map":
            pointers = rng.integers(n, size=(count, n))
        if self.shape == "cycle":
            pointers = np.empty_like(order)
            pointers[rows[:, None], order] = np.roll(order, -1, axis=1)
        puzzles = np.full((count, 2, n), NOTHING, dtype=np.int32)
        puzzles[:, 0] = pointers + _FIRST
        puzzles[rows, 0, rng.integers(n, size=count)] += n
        puzzles[:, 1, :difficulty] = _MARK
        return puzzles.reshape(count, -1)

    def answer(self, inputs: Tokens) -> Tokens:
        n = self.cells
        grids = inputs.reshape(-1, 2, n)
        pointers = np.maximum(grids[:, 0] - _FIRST, 0) % n
        rows, here = np.arange(len(grids)), (grids[:, 0] >= _FIRST + n).argmax(axis=1)
        hops = (grids[:, 1] == _MARK).sum(axis=1)
        labels = np.full(grids.shape, IGNORE, dtype=np.int32)
        labels[:, 0] = NOTHING
        for hop in range(n):
            going = hop < hops
            if self.path:
                labels[rows[going], 0, here[going]] = _PASSED
            here = np.where(going, pointers[rows, here], here)
        labels[rows, 0, here] = _MARK
        return labels.reshape(inputs.shape)

    def difficulty_of(self, inputs: Tokens, labels: Tokens) -> NDArray[np.float32]:
        return np.asarray((inputs[:, self.cells :] == _MARK).sum(axis=1), dtype=np.float32)

    def problem(self, puzzle: Tokens) -> str | None:
        pointers, clock = puzzle.reshape(2, self.cells)
        if (pointers < _FIRST).any():
            return f"needs a number from 1 to {self.cells} in each cell of the first row"
        if (pointers >= _FIRST + self.cells).sum() != 1:
            return "needs one number with an @ in the first row: where to start"
        hops = int((clock == _MARK).sum())
        if not hops or clock.tolist() != [_MARK] * hops + [NOTHING] * (self.cells - hops):
            return "needs an @ for each hop and then . in the second row"
        return None

    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        images = [self._rotated(inputs, np.full(len(inputs), by)) for by in range(self.cells)]
        return [row.tobytes() for row in least_image(images)]

    def move(self, inputs: Tokens, rng: np.random.Generator) -> Tokens:
        return self._rotated(inputs, rng.integers(self.cells, size=len(inputs)))

    def _rotated(self, inputs: Tokens, by: NDArray[np.int64]) -> Tokens:
        n = self.cells
        grids = inputs.reshape(-1, 2, n)
        from_there = np.take_along_axis(grids[:, 0], (np.arange(n) - by[:, None]) % n, 1) - _FIRST
        start = from_there >= n
        moved = grids.copy()
        moved[:, 0] = (from_there + by[:, None]) % n + _FIRST + n * start
        return moved.reshape(inputs.shape)
