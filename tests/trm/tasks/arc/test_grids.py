"""ARC's grids among cells: where they end, how they are read, written and shown."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.arc_puzzles import built, small
from trm.errors import UserError
from trm.tasks.arc.grids import END, SIDE, crop, encode


def test_a_grid_ends_in_an_l_and_is_read_back_from_any_place() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        rows, columns = rng.integers(1, SIDE + 1, size=2)
        one = rng.integers(10, size=(rows, columns)).astype(np.uint8)
        row, column = rng.integers(SIDE - rows + 1), rng.integers(SIDE - columns + 1)
        tokens = encode(one, row, column)
        assert np.array_equal(crop(tokens, row, column), one)
        canvas = tokens.reshape(SIDE, SIDE)
        ends = (rows if column + columns < SIDE else 0) + (columns if row + rows < SIDE else 0)
        assert (canvas == END).sum() == ends
        assert (canvas >= 2).sum() == one.size


def test_what_is_read_is_the_largest_grid_of_colours() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        canvas = np.zeros((SIDE, SIDE), dtype=np.int32)
        canvas[:7, :7] = rng.choice([0, 1, 2, 5, 11], size=(7, 7), p=[0.05, 0.05, 0.3, 0.3, 0.3])
        most = max(
            (
                rows * columns
                for rows in range(1, 8)
                for columns in range(1, 8)
                if (canvas[:rows, :columns] >= 2).all()
            ),
            default=0,
        )
        found = crop(canvas.ravel())
        assert found.size == most
        assert np.array_equal(found, canvas[: found.shape[0], : found.shape[1]] - 2)


def test_a_grid_as_it_is_written_and_shown(folders: dict[str, str]) -> None:
    task = built(small(folders))
    tokens = task.parse("1.2\n 3 4 0\n")
    assert task.show(tokens) == "1.2\n34."
    for text in ("", "12\n1", "1x", "1" * 31):
        with pytest.raises(UserError):
            task.parse(text)
