"""The solver against plain backtracking, and on the 17-clue puzzles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trm.tasks.sudoku import solver
from trm.tasks.sudoku.files import read_puzzles, solve_file
from trm.tasks.sudoku.generator import grids
from trm.tasks.sudoku.rules import Boards, Box, is_solved, keeps_givens
from trm.tasks.sudoku.solver import solve

Oracle = Callable[[Boards, int, int, int], list[list[int]]]

BOXES = [Box(2, 2), Box(2, 3), Box(3, 2), Box(2, 4), Box(4, 2), Box(3, 3)]
CLUES_17 = Path(__file__).parents[4] / "shared" / "data" / "sudoku-17-clue.txt"

EASY = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"
HARD = "4.....8.5.3..........7......2.....6.....8.4......1.......6.3.7.5..2.....1.4......"


def board(text: str) -> Boards:
    return np.array([[0 if c == "." else int(c) for c in text]], dtype=np.uint8)


def some_puzzles(box: Box, count: int, seed: int) -> Boards:
    """Random masks over solved grids, a few digits spoilt: none, one and many solutions occur."""
    rng = np.random.default_rng(seed)
    solved = grids(count, box, rng)
    share = rng.uniform(0.3, 0.8, (count, 1))
    puzzles = np.where(rng.random(solved.shape) < share, solved, 0).astype(np.uint8)
    spoilt = rng.random(count) < 0.25
    cell = rng.integers(box.cells, size=count)
    puzzles[spoilt, cell[spoilt]] = rng.integers(1, box.side + 1, spoilt.sum())
    return puzzles


@pytest.mark.parametrize("box", BOXES, ids=str)
def test_agrees_with_backtracking(box: Box, oracle: Oracle) -> None:
    puzzles = some_puzzles(box, 60, seed=box.cells + box.rows)
    found = solve(puzzles, box)
    counts = []
    for i, puzzle in enumerate(puzzles):
        expected = oracle(puzzle, box.rows, box.cols, 2)
        counts.append(len(expected))
        assert found.count[i] == len(expected)
        if len(expected) == 1:
            assert found.solution[i].tolist() == expected[0]
        elif expected:
            assert is_solved(found.solution[i : i + 1], box).all()
            assert keeps_givens(puzzle[None], found.solution[i : i + 1]).all()
        else:
            assert not found.solution[i].any()
    assert set(counts) == {0, 1, 2}, "the sample is too tame to test anything"


@settings(max_examples=150, deadline=None)
@given(cells=st.lists(st.integers(0, 4), min_size=16, max_size=16))
def test_any_4x4_board(oracle: Oracle, cells: list[int]) -> None:
    puzzle = np.array([cells], dtype=np.uint8)
    expected = oracle(puzzle[0], 2, 2, 5)
    assert solve(puzzle, Box(2, 2), limit=5).count[0] == len(expected)


def test_counts_up_to_the_limit() -> None:
    empty = np.zeros((1, 16), dtype=np.uint8)
    assert solve(empty, Box(2, 2), limit=1000).count[0] == 288  # all 4x4 grids
    assert solve(empty, Box(2, 2)).count[0] == 2
    assert solve(np.zeros((1, 81), dtype=np.uint8), Box(3, 3), limit=1).count[0] == 1


def test_effort_is_zero_for_singles_and_grows_with_search() -> None:
    easy, hard = solve(board(EASY), Box(3, 3)), solve(board(HARD), Box(3, 3))
    assert easy.count[0] == hard.count[0] == 1
    assert easy.effort[0] == 0
    assert hard.effort[0] > 10
    assert is_solved(np.concatenate([easy.solution, hard.solution]), Box(3, 3)).all()


def test_result_does_not_depend_on_the_company(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "CHUNK", 16)
    puzzles = np.concatenate([board(EASY), *[board(HARD)] * 40])
    together = solve(puzzles, Box(3, 3))
    alone = solve(puzzles[1:2], Box(3, 3))
    assert set(together.effort[1:].tolist()) == {int(alone.effort[0])}
    assert (together.solution[1:] == alone.solution).all()


def test_no_boards() -> None:
    found = solve(np.zeros((0, 81), dtype=np.uint8), Box(3, 3))
    assert found.solution.shape == (0, 81)
    assert len(found.count) == len(found.effort) == 0


def test_progress_rises_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "CHUNK", 16)
    seen: list[float] = []
    solve(np.repeat(board(HARD), 40, axis=0), Box(3, 3), progress=lambda _, s: seen.append(s))
    assert seen == sorted(seen)
    assert len(seen) > 1
    assert seen[-1] == 1.0


@pytest.mark.skipif(not CLUES_17.exists(), reason=f"{CLUES_17} is not on this machine")
def test_all_17_clue_puzzles_have_one_solution(oracle: Oracle) -> None:
    box = Box(3, 3)
    file = read_puzzles(CLUES_17, box)
    assert len(file) == 12_000
    assert ((file.puzzles != 0).sum(axis=1) == 17).all()
    found = solve_file(file, box)
    assert (found.count == 1).all()
    assert is_solved(found.solution, box).all()
    assert keeps_givens(file.puzzles, found.solution).all()
    for i in np.argsort(found.effort, kind="stable")[:1]:  # the oracle takes seconds each
        assert [found.solution[i].tolist()] == oracle(file.puzzles[i], 3, 3, 2)
