"""Augmentation keeps puzzles valid; class keys are what all symmetric images share."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from trm.tasks.sudoku.generator import dig, grids
from trm.tasks.sudoku.rules import Boards, Box, is_solved
from trm.tasks.sudoku.solver import solve
from trm.tasks.sudoku.symmetry import (
    augment,
    canonical,
    class_keys,
    fingerprint,
    positions,
    renamed,
)

BOXES = [Box(2, 2), Box(2, 3), Box(3, 2), Box(2, 4), Box(3, 3)]


def sample(box: Box, count: int, seed: int = 0) -> tuple[Boards, Boards]:
    rng = np.random.default_rng(seed)
    solved = grids(count, box, rng)
    return dig(solved, np.full(count, box.cells // 2), box, rng), solved


def generators(box: Box) -> list[NDArray[np.intp]]:
    """Cell permutations that generate the group, from its definition."""
    grid = np.arange(box.cells).reshape(box.side, box.side)

    def swapped(axis: int, first: int, second: int, width: int) -> NDArray[np.intp]:
        order = np.arange(box.side).reshape(-1, width)
        order[[first, second]] = order[[second, first]]
        return grid.take(order.ravel(), axis=axis).ravel()

    moves = []
    for axis, size in ((0, box.rows), (1, box.cols)):
        groups = box.side // size
        moves += [swapped(axis, g, g + 1, size) for g in range(groups - 1)]
        moves += [
            swapped(axis, g * size + i, g * size + i + 1, 1)
            for g in range(groups)
            for i in range(size - 1)
        ]
    return [*moves, grid.T.ravel()] if box.rows == box.cols else moves


def image(boards: Boards, box: Box, rng: np.random.Generator) -> NDArray[np.intp]:
    """Source cells of one random word in the generators."""
    moves = generators(box)
    cells = np.arange(box.cells)
    for k in rng.integers(len(moves), size=60):
        cells = cells[moves[k]]
    return cells


@pytest.mark.parametrize("box", BOXES, ids=str)
def test_augmentation_keeps_validity_and_uniqueness(box: Box) -> None:
    puzzles, solved = sample(box, 100)
    rng = np.random.default_rng(1)
    inputs, labels = augment(puzzles.astype(np.int32) + 1, solved.astype(np.int32) + 1, box, rng)
    assert inputs.dtype == labels.dtype == np.int32
    moved = (inputs - 1).astype(np.uint8)
    assert is_solved((labels - 1).astype(np.uint8), box).all()
    assert ((moved == 0).sum(axis=1) == (puzzles == 0).sum(axis=1)).all()
    found = solve(moved, box)
    assert (found.count == 1).all()
    assert (found.solution == labels - 1).all()
    assert (moved != puzzles).any(axis=1).mean() > 0.9
    assert class_keys(moved, found.solution, box) == class_keys(puzzles, solved, box)


def test_augmentation_reaches_every_image_evenly() -> None:
    box = Box(2, 2)
    puzzles, _ = sample(box, 1, seed=4)
    orbit = orbit_of(puzzles[0], box)
    many = np.repeat(puzzles.astype(np.int32) + 1, 40 * len(orbit), axis=0)
    moved, _ = augment(many, many, box, np.random.default_rng(0))
    _, counts = np.unique(moved, axis=0, return_counts=True)
    assert len(counts) == len(orbit)
    # A Pearson statistic of m - 1 degrees of freedom: mean m - 1, variance 2 (m - 1).
    degrees = len(orbit) - 1
    statistic = ((counts - 40.0) ** 2 / 40).sum()
    assert abs(statistic - degrees) < 5 * np.sqrt(2 * degrees)


def test_augmentation_leaves_padding_and_its_arguments_alone() -> None:
    inputs = np.array([[0, 1] * 8], dtype=np.int32)
    before = inputs.copy()
    moved, _ = augment(inputs, inputs, Box(2, 2), np.random.default_rng(0))
    assert (inputs == before).all()
    assert sorted(moved[0].tolist()) == sorted(before[0].tolist())


@pytest.mark.parametrize("box", BOXES, ids=str)
def test_keys_do_not_change_under_random_symmetries(box: Box) -> None:
    puzzles, solved = sample(box, 60)
    expected = class_keys(puzzles, solved, box)
    prints = fingerprint(puzzles, solved, box)
    rng = np.random.default_rng(7)
    for _ in range(5):
        cells = image(puzzles, box, rng)
        names = np.concatenate([[0], 1 + rng.permutation(box.side)]).astype(np.uint8)
        moved, answer = names[puzzles[:, cells]], names[solved[:, cells]]
        assert class_keys(moved, answer, box) == expected
        assert (fingerprint(moved, answer, box) == prints).all()


@pytest.mark.parametrize("box", BOXES, ids=str)
def test_keys_differ_after_one_given_more(box: Box) -> None:
    puzzles, solved = sample(box, 60)
    more = puzzles.copy()
    cell = (puzzles == 0).argmax(axis=1)
    more[np.arange(60), cell] = solved[np.arange(60), cell]
    assert not set(class_keys(puzzles, solved, box)) & set(class_keys(more, solved, box))


@pytest.mark.parametrize("box", [Box(2, 3), Box(3, 3)], ids=str)
def test_keys_tell_random_puzzles_apart(box: Box) -> None:
    puzzles, solved = sample(box, 400)
    assert len(set(class_keys(puzzles, solved, box))) == 400
    assert len(set(fingerprint(puzzles, solved, box).tolist())) == 400


def orbit_of(puzzle: Boards, box: Box) -> set[bytes]:
    """Every image of one puzzle: breadth first over the generators and swaps of two digits."""
    moves = generators(box)
    swaps = []
    for d in range(1, box.side):
        names = np.arange(box.side + 1, dtype=np.uint8)
        names[[d, d + 1]] = names[[d + 1, d]]
        swaps.append(names)
    seen = {puzzle.tobytes()}
    front = [puzzle]
    while front:
        boards = [b[m] for b in front for m in moves] + [s[b] for b in front for s in swaps]
        front = []
        for b in boards:
            if b.tobytes() not in seen:
                seen.add(b.tobytes())
                front.append(b)
    return seen


def test_canonical_form_is_exact_at_4x4() -> None:
    box = Box(2, 2)
    solved = grids(25, box, np.random.default_rng(0))
    puzzles = dig(solved, np.repeat([4, 6, 8, 9, 10], 5), box, np.random.default_rng(0))
    puzzles[-1] = 0  # the most symmetric board
    puzzles[-2] = solved[-2]
    images = [min(orbit_of(puzzle, box)) for puzzle in puzzles[::3]]
    puzzles = np.concatenate([puzzles, [np.frombuffer(b, dtype=np.uint8) for b in images]])
    forms = [form.tobytes() for form in canonical(puzzles, box)]
    orbits = [orbit_of(puzzle, box) for puzzle in puzzles]
    pairs = {True: 0, False: 0}
    for i, form in enumerate(forms):
        assert form in orbits[i]
        for j, puzzle in enumerate(puzzles[:i]):
            equivalent = puzzle.tobytes() in orbits[i]
            assert (forms[j] == form) == equivalent
            pairs[equivalent] += 1
    assert pairs[True] >= 9
    assert pairs[False] > 300


def test_canonical_form_of_whole_4x4_orbits_is_one() -> None:
    box = Box(2, 2)
    puzzles, _ = sample(box, 3, seed=9)
    for puzzle in puzzles:
        orbit = np.array([np.frombuffer(b, dtype=np.uint8) for b in orbit_of(puzzle, box)])
        assert len(np.unique(canonical(orbit, box), axis=0)) == 1


@pytest.mark.parametrize(("box", "order"), [(Box(2, 2), 128), (Box(2, 3), 3456), (Box(3, 2), 3456)])
def test_positions_are_the_group(box: Box, order: int) -> None:
    moves = positions(box)
    assert len(moves) == order
    known = {move.tobytes() for move in moves}
    assert len(known) == order
    for move in generators(box):
        assert all(step[move].tobytes() in known for step in moves[:: order // 32])


def test_renaming_is_in_order_of_appearance() -> None:
    board = np.array([[0, 3, 3, 1, 0, 4, 1, 3, 2] + [0] * 7], dtype=np.uint8)
    assert renamed(board, Box(2, 2))[0, :9].tolist() == [0, 1, 1, 2, 0, 3, 2, 1, 4]
