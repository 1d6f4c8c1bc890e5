"""An independent Sudoku solver, for tests to compare with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

Oracle = Callable[[NDArray[np.uint8], int, int, int], list[list[int]]]


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    """`oracle(puzzle, rows, cols, limit)`: up to `limit` solutions of `[cells]`, backtracking."""
    return _solutions


def _solutions(puzzle: NDArray[np.uint8], rows: int, cols: int, limit: int) -> list[list[int]]:
    side = rows * cols
    units = [
        (i // side, side + i % side, 2 * side + i // side // rows * rows + i % side // cols)
        for i in range(side * side)
    ]
    used: list[set[int]] = [set() for _ in range(3 * side)]
    cells = [int(c) for c in puzzle]
    for i, digit in enumerate(cells):
        for unit in units[i] if digit else ():
            if digit in used[unit]:
                return []
            used[unit].add(digit)
    found: list[list[int]] = []
    everything = set(range(1, side + 1))

    def visit() -> None:
        best, choice = side + 1, -1
        for i, digit in enumerate(cells):
            if not digit:
                r, c, b = units[i]
                left = side - len(used[r] | used[c] | used[b])
                if left < best:
                    best, choice = left, i
        if choice < 0:
            found.append(list(cells))
            return
        r, c, b = units[choice]
        for digit in everything - (used[r] | used[c] | used[b]):
            cells[choice] = digit
            for unit in units[choice]:
                used[unit].add(digit)
            visit()
            for unit in units[choice]:
                used[unit].remove(digit)
            if len(found) == limit:
                break
        cells[choice] = 0

    visit()
    return found
