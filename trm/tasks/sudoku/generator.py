"""Seeded puzzles with exactly one solution, made a batch at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trm.tasks.sudoku.rules import Boards, Box
from trm.tasks.sudoku.solver import Candidates, candidates, digits, propagate, search


def grids(count: int, box: Box, rng: np.random.Generator) -> Boards:
    """Solved grids `[count, cells]`: random guesses and singles; a dead end starts over."""
    found: list[Boards] = []
    missing = count
    empty = candidates(np.zeros((1, box.cells), dtype=np.uint8), box)
    boards = empty[:0]
    while missing > 0:
        fresh = np.repeat(empty, max(0, missing - len(boards)), axis=0)
        boards = _guess(np.concatenate([boards, fresh]), rng)
        boards, _ = propagate(boards, np.arange(len(boards)), box)
        solved = (boards & (boards - np.uint16(1)) == 0).all(axis=1)
        found.append(digits(boards[solved])[:missing])
        missing -= len(found[-1])
        boards = boards[~solved]
    return np.concatenate([np.zeros((0, box.cells), dtype=np.uint8), *found])


def _guess(boards: Candidates, rng: np.random.Generator) -> Candidates:
    """Each board `[n, cells]` with a random candidate in a random one of its narrowest cells."""
    width = np.bitwise_count(boards).astype(np.float64)
    width[width == 1] = np.inf
    cell = (width + rng.random(boards.shape)).argmin(axis=1)
    each = np.arange(len(boards))
    bits = np.uint16(1) << np.arange(16, dtype=np.uint16)
    open_digits = (boards[each, cell][:, None] & bits) != 0
    digit = (open_digits * rng.uniform(0.5, 1.0, open_digits.shape)).argmax(axis=1)
    boards[each, cell] = bits[digit]
    return boards


def dig(solved: Boards, blanks: NDArray[np.integer], box: Box, rng: np.random.Generator) -> Boards:
    """Puzzles `[n, cells]` with one solution, by clearing cells of solved grids in random order.

    A cell stays if without it a second solution appears: one in which the cell holds another digit.

    Args:
        solved: `[n, cells]`.
        blanks: `[n]`, blank cells wanted. A puzzle may end with fewer.
    """
    puzzles = solved.copy()
    order = rng.random(solved.shape).argsort(axis=1)
    missing = np.array(blanks)
    for turn in range(box.cells):
        active = np.flatnonzero(missing > 0)
        if not len(active):
            break
        cell = order[active, turn]
        trial = puzzles[active]
        each = np.arange(len(active))
        trial[each, cell] = 0
        boards = candidates(trial, box)
        boards[each, cell] &= ~(np.uint16(1) << (solved[active, cell] - np.uint16(1)))
        unique = search(boards, box, limit=1).count == 0
        puzzles[active[unique], cell[unique]] = 0
        missing[active[unique]] -= 1
    return puzzles
