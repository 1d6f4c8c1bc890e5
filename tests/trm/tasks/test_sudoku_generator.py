"""Generated grids are solved; generated puzzles have the blanks asked and one solution."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from trm.tasks.sudoku.generator import dig, grids
from trm.tasks.sudoku.rules import Boards, Box, is_solved, keeps_givens

Oracle = Callable[[Boards, int, int, int], list[list[int]]]


@pytest.mark.parametrize("box", [Box(2, 2), Box(2, 3), Box(3, 2), Box(2, 4), Box(3, 3)], ids=str)
def test_grids_are_solved_and_vary(box: Box) -> None:
    solved = grids(300, box, np.random.default_rng(1))
    assert solved.shape == (300, box.cells)
    assert is_solved(solved, box).all()
    different = len({grid.tobytes() for grid in solved})
    # 300 of the 288 4x4 grids, drawn evenly, are 288 (1 - 1/e) = 187 different ones.
    assert different > (150 if box.side == 4 else 295)
    for cell in (0, box.cells // 2, box.cells - 1):
        assert len(set(solved[:, cell].tolist())) == box.side


def test_every_4x4_grid_can_come() -> None:
    solved = grids(6000, Box(2, 2), np.random.default_rng(0))
    assert len({grid.tobytes() for grid in solved}) == 288


@pytest.mark.parametrize(
    ("box", "low", "high", "count"),
    [
        (Box(2, 2), 6, 10, 200),
        (Box(2, 3), 14, 22, 100),
        (Box(4, 2), 24, 34, 30),
        (Box(3, 3), 40, 52, 40),
        (Box(4, 4), 60, 120, 3),
    ],
    ids=str,
)
def test_every_puzzle_has_one_solution(
    box: Box, low: int, high: int, count: int, oracle: Oracle
) -> None:
    rng = np.random.default_rng(2)
    solved = grids(count, box, rng)
    blanks = rng.integers(low, high + 1, count)
    puzzles = dig(solved, blanks, box, rng)
    assert keeps_givens(puzzles, solved).all()
    reached = (puzzles == 0).sum(axis=1)
    assert (reached <= blanks).all()
    assert (reached == blanks).mean() > 0.9
    for puzzle, solution in zip(puzzles, solved, strict=True):
        assert oracle(puzzle, box.rows, box.cols, 2) == [solution.tolist()]


def test_digging_to_the_end_leaves_no_spare_given(oracle: Oracle) -> None:
    box = Box(2, 2)
    rng = np.random.default_rng(3)
    solved = grids(50, box, rng)
    for puzzle in dig(solved, np.full(50, 16), box, rng):
        assert len(oracle(puzzle, 2, 2, 2)) == 1
        for cell in np.flatnonzero(puzzle):
            fewer = puzzle.copy()
            fewer[cell] = 0
            assert len(oracle(fewer, 2, 2, 2)) == 2


def test_same_seed_same_puzzles() -> None:
    def make(seed: int) -> Boards:
        rng = np.random.default_rng(seed)
        return dig(grids(20, Box(2, 3), rng), np.full(20, 18), Box(2, 3), rng)

    assert (make(5) == make(5)).all()
    assert (make(5) != make(6)).any(axis=1).all()
