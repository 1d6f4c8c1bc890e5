"""A Sudoku solver that takes thousands of boards through each step together.

A board is its cells' candidate digits, as bits. Propagation applies naked singles (a cell with one
candidate takes that digit from its row, column and box) and hidden singles (a digit with one cell
left in a unit goes there) until nothing changes; a board that is neither solved nor dead is
replaced by one board per candidate of a cell that has the fewest. All open boards, of whatever
puzzle, form one pool that is worked off in chunks, the newest first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trm.tasks.base import Progress
from trm.tasks.sudoku.rules import Boards, Box

Candidates = NDArray[np.uint16]
"""Bit d - 1 of a cell says that digit d may stand there; `[n, cells]` unless said otherwise."""

CHUNK = 2048
"""Boards propagated together: few enough to stay in the processor's cache."""


@dataclass(frozen=True)
class Solutions:
    """What `solve` found; all arrays share their first axis with the boards.

    Attributes:
        solution: uint8 `[n, cells]`, a solution, zeros where there is none.
        count: int32 `[n]`, number of solutions, counted up to the limit.
        effort: int32 `[n]`, guesses tried (children in the search tree); 0 means that singles
            suffice. Where the search ended before the limit this is the size of the whole tree.
    """

    solution: Boards
    count: NDArray[np.int32]
    effort: NDArray[np.int32]


def solve(boards: Boards, box: Box, limit: int = 2, progress: Progress | None = None) -> Solutions:
    """Solve each board `[n, cells]`, counting its solutions up to `limit`.

    With the default limit a count of 1 proves that the solution is the only one.

    >>> found = solve(np.array([[1, 0, 0, 0, 0, 0, 3, 0, 0, 4, 0, 0, 0, 0, 0, 2]]), Box(2, 2))
    >>> found.solution[0].reshape(4, 4).tolist()
    [[1, 3, 2, 4], [4, 2, 3, 1], [2, 4, 1, 3], [3, 1, 4, 2]]
    >>> found.count.tolist(), found.effort.tolist()
    ([1], [0])
    """
    return search(candidates(np.asarray(boards), box), box, limit, progress)


def candidates(boards: Boards, box: Box) -> Candidates:
    """The candidates of boards `[n, cells]`: a given's digit, or every digit."""
    bits = np.array([_full(box)] + [1 << d for d in range(box.side)], dtype=np.uint16)
    return np.asarray(bits[boards])


def digits(singles: Candidates) -> Boards:
    """The digits of cells that have one candidate each."""
    return np.asarray(np.bitwise_count(singles - np.uint16(1)) + 1, dtype=np.uint8)


def search(
    boards: Candidates, box: Box, limit: int = 2, progress: Progress | None = None
) -> Solutions:
    """As `solve`, from candidates `[n, cells]`."""
    total = len(boards)
    solution = np.zeros((total, box.cells), dtype=np.uint8)
    count = np.zeros(total, dtype=np.int32)
    effort = np.zeros(total, dtype=np.int32)
    begun = 0
    pool, puzzles = boards[:0], np.arange(0)
    while begun < total or len(puzzles):
        end = min(total, begun + max(0, CHUNK - len(puzzles)))
        chunk = np.concatenate([pool[-CHUNK:], boards[begun:end]])
        owners = np.concatenate([puzzles[-CHUNK:], np.arange(begun, end)])
        wanted = count[owners] < limit
        chunk, owners = propagate(chunk[wanted], owners[wanted], box)
        solved = (chunk & (chunk - np.uint16(1)) == 0).all(axis=1)
        solution[owners[solved]] = digits(chunk[solved])
        np.add.at(count, owners[solved], 1)
        children, parents = branch(chunk[~solved])
        owners = owners[~solved][parents]
        np.add.at(effort, owners, 1)
        pool = np.concatenate([pool[:-CHUNK], children])
        puzzles = np.concatenate([puzzles[:-CHUNK], owners])
        if progress is not None and end > begun:
            progress("solving puzzles", end / total)
        begun = end
    return Solutions(solution, np.minimum(count, limit), effort)


def branch(boards: Candidates) -> tuple[Candidates, NDArray[np.intp]]:
    """One board per candidate of the first cell with the fewest (two at least).

    Returns:
        The children `[m, cells]` and the index `[m]` of each one's parent.
    """
    open_candidates = np.bitwise_count(boards) - np.uint8(2)  # a single wraps round to 255
    cell = open_candidates.argmin(axis=1)
    chosen = boards[np.arange(len(boards)), cell]
    bits = np.uint16(1) << np.arange(16, dtype=np.uint16)
    parents, bit = np.nonzero(chosen[:, None] & bits)
    children = boards[parents]
    children[np.arange(len(parents)), cell[parents]] = bits[bit]
    return children, parents


def propagate(
    boards: Candidates, puzzles: NDArray[np.intp], box: Box
) -> tuple[Candidates, NDArray[np.intp]]:
    """Apply singles until nothing changes; boards with a contradiction are left out.

    Args:
        boards: `[n, cells]`.
        puzzles: `[n]`, a mark of each board that goes with it.
    """
    shape = (box.cols, box.rows, box.rows, box.cols, -1)  # band, row, stack, column, board
    now = np.ascontiguousarray(boards.T).reshape(shape)  # boards last: long inner loops
    done: list[tuple[Candidates, NDArray[np.intp]]] = [(boards[:0], puzzles[:0])]
    while len(puzzles):
        after, dead = _step(now, _full(box))
        settled = ~(after != now).any(axis=(0, 1, 2, 3)) & ~dead
        ended = settled | dead
        now = after
        if 4 * np.count_nonzero(ended) > len(puzzles):  # copying out a few at a time costs more
            done.append((now[..., settled].reshape(box.cells, -1).T, puzzles[settled]))
            now, puzzles = now[..., ~ended], puzzles[~ended]
    return np.concatenate([b for b, _ in done]), np.concatenate([p for _, p in done])


def _full(box: Box) -> np.uint16:
    return np.uint16((1 << box.side) - 1)


_UNITS = ((2, 3), (0, 1), (1, 3))
"""The axes of (band, row, stack, column, board) along which a row, column and box extend."""


def _step(now: Candidates, full: np.uint16) -> tuple[Candidates, NDArray[np.bool_]]:
    """One round of naked, then hidden singles; and which boards are dead, `[n]`."""
    singles = now * (now & (now - np.uint16(1)) == 0)
    taken, clash = np.zeros_like(now), np.zeros_like(now)
    for axes in _UNITS:
        once, twice = _seen(singles, axes)
        taken |= once
        clash |= twice
    after = now & ~((taken & ~singles) | clash)
    dead = (after == 0).any(axis=(0, 1, 2, 3))
    hidden = np.zeros_like(now)
    for axes in _UNITS:
        once, twice = _seen(after, axes)
        dead |= (once != full).any(axis=(0, 1, 2, 3))
        hidden |= once & ~twice
    hidden &= after
    # Two hidden singles in one cell: keeping one leaves the other without a cell, which is dead.
    np.copyto(after, hidden & -hidden, where=hidden != 0)
    return after, dead


def _seen(now: Candidates, axes: tuple[int, int]) -> tuple[Candidates, Candidates]:
    """The digits that a unit's cells hold at least once and at least twice; `axes` kept as 1."""
    cells = np.moveaxis(now, axes, (0, 1))
    first, *others = (cells[i, j] for i in range(cells.shape[0]) for j in range(cells.shape[1]))
    once, twice = first.copy(), np.zeros_like(first)
    for cell in others:
        twice |= once & cell
        once |= cell
    return np.expand_dims(once, axes), np.expand_dims(twice, axes)
