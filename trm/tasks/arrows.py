"""Arrow-path tracing on a grid: the smallest task on which depth, halting and curricula matter.

Every cell holds an arrow and one cell is the start. Follow the arrows until they leave the grid or
reach a visited cell; the answer marks the visited cells.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curricula.limits import MOST_EXAMPLES, MOST_SEED
from trm.errors import UserError
from trm.tasks.base import Progress, Split, SplitName, Task, TaskConfig, Tokens
from trm.tasks.cache import cached_splits, make_split
from trm.tasks.drawn import least_image
from trm.tasks.held import HeldTask
from trm.tasks.picture import PAPER, PATH, Look

_LETTERS = "urdl"
_SIGNS = "↑→↓←"
_PLAIN = str.maketrans(_SIGNS, _LETTERS)
_STARTS = str.maketrans(_SIGNS, _LETTERS.upper())
_SHOWN_START = re.compile(rf"[\[*]([{_SIGNS}])[\]*]")
_STEP = ((-1, 0), (0, 1), (1, 0), (0, -1))
_MARK = 4
"""Added to an arrow's token where the cell is the start (input) or visited (label)."""
_VISITED = {4: (2, 8), 5: (3, 10), 6: (4, 12)}
_CHUNK = 65_536
_FORMAT = 1


class ArrowsConfig(TaskConfig):
    """Follow the arrows from the start until they leave the grid or close; mark the visited cells.

    Attributes:
        size: rows and columns of the grid.
        visited: least and most visited cells, which is the difficulty; every number between is
            drawn equally often. null is 2-8 on a 4x4 grid, 3-10 on 5x5, 4-12 on 6x6.
        train_examples: examples of the split that is trained on.
        valid_examples: examples of the split that searches read.
        test_examples: examples of the split that is evaluated once.
        seed: draws the grids and the splits.
        augment: whether training examples are rotated and reflected.
    """

    name: Literal["arrows"] = "arrows"
    size: int = Field(default=4, ge=2, le=12)
    visited: list[int] | None = Field(default=None, min_length=2, max_length=2)
    train_examples: int = Field(default=15_346, ge=1, le=MOST_EXAMPLES)
    valid_examples: int = Field(default=1_000, ge=1, le=MOST_EXAMPLES)
    test_examples: int = Field(default=1_000, ge=1, le=MOST_EXAMPLES)
    seed: int = Field(default=0, ge=0, le=MOST_SEED)
    augment: bool = False

    @model_validator(mode="after")
    def _reachable(self) -> ArrowsConfig:
        low, high = self.visited_range
        if not 1 <= low <= high:
            raise ValueError(f"visited {[low, high]} must be [low, high] with 1 <= low <= high")
        if high > self.size * self.size // 2:
            raise ValueError(
                f"visited {[low, high]}: paths over half the grid ({self.size**2 // 2} cells) are "
                "too rare to draw; lower the upper end"
            )
        return self

    @property
    def visited_range(self) -> tuple[int, int]:
        """Least and most visited cells."""
        if self.visited is not None:
            return self.visited[0], self.visited[1]
        return _VISITED.get(self.size, (2, self.size * 2))

    def build(self, cache: Path | None = None, progress: Progress | None = None) -> Task:
        key: dict[str, Any] = {"format": _FORMAT, **self.model_dump(exclude={"augment"})}
        splits = cached_splits(cache, self.name, key, lambda: _generate(self, progress))
        return ArrowsTask(self, splits)


class ArrowsTask(HeldTask):
    """Arrow grids of one size. Difficulty is the number of visited cells.

    No two examples of the whole task, and so of two splits, are rotations or reflections of each
    other: each grid's canonical form (the least of its eight images) occurs once.
    """

    name = "arrows"
    vocabulary = "arrows"
    vocab_size = 9

    def __init__(self, config: ArrowsConfig, splits: dict[SplitName, Split]) -> None:
        super().__init__(splits, config.augment)
        self.size = config.size
        self.seq_len = config.size**2
        self.grid_shape = (config.size, config.size)

    def moved(
        self, inputs: Tokens, labels: Tokens, rng: np.random.Generator
    ) -> tuple[Tokens, Tokens]:
        cells, tokens = _symmetries(self.size)
        choice = rng.integers(8, size=len(inputs))[:, None]
        source = cells[choice[:, 0]]
        return (
            tokens[choice, np.take_along_axis(inputs, source, 1)],
            tokens[choice, np.take_along_axis(labels, source, 1)],
        )

    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        return [form.tobytes() for form in canonical(inputs, self.size)]

    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        return np.asarray((answers == trace(inputs, self.size)).all(axis=1))

    def difficulty_of(self, inputs: Tokens, labels: Tokens) -> NDArray[np.float32]:
        return np.asarray((trace(inputs, self.size) > _MARK).sum(axis=1), dtype=np.float32)

    def unknown(self, inputs: Tokens) -> NDArray[np.bool_]:
        """Visited cells except the start: the only ones whose label differs from the input."""
        return np.asarray(trace(inputs, self.size) != inputs)

    def parse(self, text: str) -> Tokens:
        """Letters u, r, d, l row by row (spaces and line ends ignored), the start in upper case.

        Or arrows as `show` has them, the start in brackets or stars.
        """
        letters = "".join(_SHOWN_START.sub(lambda cell: cell[1].translate(_STARTS), text).split())
        letters = letters.translate(_PLAIN)
        wanted = self.seq_len
        if len(letters) != wanted:
            raise UserError("puzzle", text, f"needs {wanted} letters of u, r, d, l")
        bad = sorted({letter for letter in letters if letter.lower() not in _LETTERS})
        if bad:
            raise UserError("puzzle", "".join(bad), "only u, r, d, l (the start in upper case)")
        if sum(letter.isupper() for letter in letters) != 1:
            raise UserError("puzzle", text, "needs exactly one letter in upper case, the start")
        tokens = [_LETTERS.index(c.lower()) + 1 + _MARK * c.isupper() for c in letters]
        return np.array(tokens, dtype=np.int32)

    def show(self, tokens: Tokens, given: Tokens | None = None) -> str:
        """Marked cells in brackets; with `given`, its start in stars; `?` for a padding token."""
        lines = []
        for row in range(self.size):
            cells = []
            for index in range(row * self.size, (row + 1) * self.size):
                token = int(tokens[index])
                sign = _SIGNS[(token - 1) % 4] if token else "?"
                started = given is not None and given[index] > _MARK
                marked = token > _MARK
                left, right = ("**" if started else "[]") if marked else "  "
                cells.append(f"{left}{sign}{right}")
            lines.append("".join(cells))
        return "\n".join(lines)

    def look(self, token: int) -> Look:
        sign = _SIGNS[(token - 1) % 4] if token else "?"
        return Look(sign, PATH if token > _MARK else PAPER)


def trace(inputs: Tokens, size: int) -> Tokens:
    """The right answers `[n, size * size]` for inputs `[n, size * size]`, from the rules alone.

    An input without a start has no path: its answer is the input.
    """
    arrows = (inputs - 1) % _MARK
    answers = arrows.astype(np.int32) + 1
    start = inputs > _MARK
    rows = np.flatnonzero(start.any(axis=1))
    cell = start[rows].argmax(axis=1)
    while len(rows):
        answers[rows, cell] += _MARK
        step = np.array(_STEP)[arrows[rows, cell]]
        y, x = cell // size + step[:, 0], cell % size + step[:, 1]
        inside = (y >= 0) & (y < size) & (x >= 0) & (x < size)
        rows, cell = rows[inside], (y * size + x)[inside]
        fresh = answers[rows, cell] <= _MARK
        rows, cell = rows[fresh], cell[fresh]
    return answers


def canonical(inputs: Tokens, size: int) -> Tokens:
    """The least of each grid's eight rotations and reflections, compared cell by cell."""
    cells, tokens = _symmetries(size)
    return least_image([tokens[k][inputs[:, cells[k]]] for k in range(8)])


def _symmetries(size: int) -> tuple[NDArray[np.intp], Tokens]:
    """The source cell of each cell `[8, cells]` and the map of tokens `[8, 9]`, by symmetry.

    A clockwise quarter turn sends direction d to d + 1; mirroring left-right swaps right and left.
    """
    grid = np.arange(size * size).reshape(size, size)
    cells, tokens = [], []
    for mirrored in (False, True):
        for turns in range(4):
            moved = np.rot90(np.fliplr(grid) if mirrored else grid, -turns)
            directions = [((-d % 4 if mirrored else d) + turns) % 4 for d in range(4)]
            cells.append(moved.ravel())
            tokens.append([0] + [d + 1 for d in directions] + [d + 1 + _MARK for d in directions])
    return np.array(cells), np.array(tokens, dtype=np.int32)


def _generate(config: ArrowsConfig, progress: Progress | None) -> dict[SplitName, Split]:
    rng = np.random.default_rng(config.seed)
    low, high = config.visited_range
    sizes: dict[SplitName, int] = {
        "train": config.train_examples,
        "valid": config.valid_examples,
        "test": config.test_examples,
    }
    total = sum(sizes.values())
    lengths = np.arange(low, high + 1)
    wanted = {int(n): -(-total // len(lengths)) for n in lengths}
    kept: list[Tokens] = []
    seen: set[bytes] = set()
    for _ in range(4_000):
        grids = rng.integers(1, 5, size=(_CHUNK, config.size**2), dtype=np.int32)
        starts = rng.integers(config.size**2, size=_CHUNK)
        grids[np.arange(_CHUNK), starts] += _MARK
        visited = (trace(grids, config.size) > _MARK).sum(axis=1)
        for n in wanted:
            candidates = grids[visited == n]
            forms = canonical(candidates[: wanted[n] * 2], config.size)
            for grid, form in zip(candidates, forms, strict=False):
                if wanted[n] and (key := form.tobytes()) not in seen:
                    seen.add(key)
                    kept.append(grid)
                    wanted[n] -= 1
        left = sum(wanted.values())
        if progress is not None:
            progress("drawing arrow grids", 1.0 - left / (total + len(lengths)))
        if not left:
            break
    else:
        rare = [n for n, left in wanted.items() if left]
        raise UserError("task.visited", [low, high], f"too few grids with {rare} visited cells")
    inputs = np.stack(kept)[rng.permutation(len(kept))[:total]]
    labels = trace(inputs, config.size)
    difficulty = (labels > _MARK).sum(axis=1)
    splits: dict[SplitName, Split] = {}
    begin = 0
    for name, count in sizes.items():
        part = slice(begin, begin + count)
        splits[name] = make_split(inputs[part], labels[part], difficulty[part])
        begin += count
    return splits
