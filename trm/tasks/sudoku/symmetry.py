"""Changes that turn a valid Sudoku into a valid one, and keys that all of these leave alone.

The group: digits relabelled; bands permuted, and rows within a band; stacks permuted, and columns
within a stack; for square boxes also the transposition.
"""

from __future__ import annotations

from functools import cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from trm.tasks.base import Tokens
from trm.tasks.sudoku.rules import Boards, Box

Hashes = NDArray[np.uint64]

EXACT_SIDE = 6
"""Largest side whose equivalence classes are told apart exactly."""

_PAIRS = 1 << 17
"""Board and permutation pairs that `canonical` holds at once."""


def augment(
    inputs: Tokens, labels: Tokens, box: Box, rng: np.random.Generator
) -> tuple[Tokens, Tokens]:
    """Each row's input and label `[b, cells]` under a random element of the group.

    Tokens: 0 padding and 1 blank stay, digit d is d + 1. Every element is equally likely.
    """
    count, side = len(inputs), box.side
    draw = rng.random((count, 3 * side + box.rows + box.cols + 1))
    rows, cols, relabel, bands, stacks, flip = np.split(
        draw, np.cumsum([side, side, side, box.cols, box.rows]), axis=1
    )
    # Whole ranks of the bands plus fractions: sorting keeps a band's rows together.
    rows += bands.argsort(axis=1).repeat(box.rows, axis=1)
    cols += stacks.argsort(axis=1).repeat(box.cols, axis=1)
    row, col = rows.argsort(axis=1), cols.argsort(axis=1)
    source = row[:, :, None] * side + col[:, None, :]
    if box.square:
        source = np.where(flip[:, :, None] < 0.5, source.swapaxes(1, 2), source)
    source = source.reshape(count, -1)
    tokens = np.zeros((count, side + 2), dtype=np.int32)
    tokens[:, 1] = 1
    tokens[:, 2:] = relabel.argsort(axis=1) + 2
    each = np.arange(count)[:, None]
    return tokens[each, inputs[each, source]], tokens[each, labels[each, source]]


def class_keys(puzzles: Boards, solutions: Boards, box: Box) -> list[bytes]:
    """One key per puzzle `[n, cells]`: symmetry-equivalent puzzles have equal keys.

    Up to side 6 the converse holds too (`canonical`). Above, the key is a `fingerprint`: puzzles
    that are not equivalent may share one, at worst, so that puzzles with different keys are
    certainly not equivalent, on every size.
    """
    if box.side <= EXACT_SIDE:
        return [board.tobytes() for board in canonical(puzzles, box)]
    return [key.tobytes() for key in fingerprint(puzzles, solutions, box)]


def fingerprint(puzzles: Boards, solutions: Boards, box: Box) -> Hashes:
    """A hash `[n]` of puzzles with solutions `[n, cells]` that no symmetry changes.

    Colour refinement (https://en.wikipedia.org/wiki/Colour_refinement_algorithm) of the solved
    grid: a cell starts as given or blank, then takes up what its digit, box, row with band and
    column with stack look like, as sums of hashes, which no order changes. A transposed grid
    swaps rows and columns, so for square boxes the hash is of the unordered pair of both.
    """
    whole = _mix(_refine(puzzles, solutions, box).sum(axis=1))
    if box.square:
        flip = _transposition(box)
        whole += _mix(_refine(puzzles[:, flip], solutions[:, flip], box).sum(axis=1))
    return whole


def canonical(puzzles: Boards, box: Box) -> Boards:
    """The representative `[n, cells]` of each puzzle's orbit under the whole group.

    Two puzzles have equal representatives exactly if they are symmetry-equivalent. Every cell
    gets a colour that only its role in the puzzle determines; the permutations that make a weighted
    sum of the colours least are tried out, digits renamed in order of appearance, and the least
    grid is taken. Any symmetric image offers the same set of grids to choose from.
    """
    moves = positions(box)
    colours = _refine(puzzles, puzzles, box)
    if box.square:
        flip = _transposition(box)
        colours += _refine(puzzles[:, flip], puzzles[:, flip], box)[:, flip]
    weights = np.empty((box.cells, len(moves)))
    weights[moves.T, np.arange(len(moves))] = np.arange(1, box.cells + 1)[:, None] ** 2
    representative = np.empty_like(puzzles)
    step = max(1, _PAIRS // len(moves))
    for start in range(0, len(puzzles), step):
        chunk = puzzles[start : start + step]
        low = (colours[start : start + step] & np.uint64(0xFFFFFFFF)).astype(np.float64)
        scores = low @ weights  # whole numbers below 2**53: exact
        board, move = np.nonzero(scores == scores.min(axis=1, keepdims=True))
        grids = renamed(np.take_along_axis(chunk[board], moves[move], axis=1), box)
        order = np.lexsort((*grids.T[::-1], board))
        first = np.searchsorted(board, np.arange(len(chunk)))
        representative[start : start + step] = grids[order[first]]
    return representative


def renamed(boards: Boards, box: Box) -> Boards:
    """Boards `[n, cells]` with their digits renamed 1, 2, ... in order of first appearance."""
    is_digit = boards[:, None, :] == np.arange(1, box.side + 1, dtype=np.uint8)[:, None]
    first = np.where(is_digit.any(axis=2), is_digit.argmax(axis=2), box.cells)
    names = np.zeros((len(boards), box.side + 1), dtype=np.uint8)
    names[:, 1:] = first.argsort(axis=1, kind="stable").argsort(axis=1) + 1
    return np.asarray(np.take_along_axis(names, boards.astype(np.intp), axis=1))


def _transposition(box: Box) -> NDArray[np.intp]:
    return np.arange(box.cells).reshape(box.side, box.side).T.ravel()


@cache
def positions(box: Box) -> NDArray[np.intp]:
    """Every permutation of the cells in the group, `[m, cells]`: `new = old[permutation]`."""
    side = box.side
    row = _lines(box.cols, box.rows)
    col = _lines(box.rows, box.cols)
    grids = row[:, None, :, None] * side + col[None, :, None, :]
    grids = grids.reshape(-1, side, side)
    if box.square:
        grids = np.concatenate([grids, grids.swapaxes(1, 2)])
    return grids.reshape(-1, box.cells)


def _lines(groups: int, size: int) -> NDArray[np.intp]:
    """Every order of `groups * size` lines that keeps each group of `size` together."""
    inner = list(permutations(range(size)))
    return np.array(
        [
            [
                group * size + line
                for group, lines in zip(order, within, strict=True)
                for line in lines
            ]
            for order in permutations(range(groups))
            for within in product(inner, repeat=groups)
        ],
        dtype=np.intp,
    )


def _refine(marks: Boards, grid: Boards, box: Box) -> Hashes:
    """Colours of cells `[n, cells]` after refinement; equivariant but for transposition.

    `marks` says which cells are given; `grid` which cells hold the same digit (0 for none).
    """
    count, side = len(grid), box.side
    shape = (count, box.cols, box.rows, box.rows, box.cols)  # band, row, stack, column
    given = marks != 0
    digit = [grid == d for d in range(1, side + 1)]
    colour = _mix(given.astype(np.uint64) + np.uint64(1))
    for _ in range(_ROUNDS):
        cell = colour.reshape(shape)
        row = cell.sum(axis=(3, 4), keepdims=True)
        col = cell.sum(axis=(1, 2), keepdims=True)
        band = _mix(row).sum(axis=2, keepdims=True)
        stack = _mix(col).sum(axis=4, keepdims=True)
        block = cell.sum(axis=(2, 4), keepdims=True)
        around = _mix(_mix(row) + band) + np.uint64(3) * _mix(_mix(col) + stack)
        around = (around + np.uint64(5) * _mix(block)).reshape(count, -1)
        same = np.zeros_like(colour)
        for cells in digit:
            total = (colour * cells).sum(axis=1, keepdims=True)
            same += cells * _mix(total)
        colour = _mix(_mix(colour) + around + np.uint64(7) * same)
    return colour


_ROUNDS = 4


def _mix(values: Hashes) -> Hashes:
    """The finaliser of splitmix64 (https://prng.di.unimi.it/splitmix64.c): a 64-bit bijection."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
