"""Where puzzles come from: the generator, a file, or a data set of the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm.errors import UserError
from trm.tasks.allocation import Allocation, allocate
from trm.tasks.base import Progress, Split, SplitName, Tokens
from trm.tasks.cache import SPLITS, Arrays, cached_arrays, make_split
from trm.tasks.sudoku.files import read_puzzles, solve_file
from trm.tasks.sudoku.generator import dig, grids
from trm.tasks.sudoku.rules import Boards, Box
from trm.tasks.sudoku.solver import solve
from trm.tasks.sudoku.symmetry import class_keys

Splits = dict[SplitName, Split]

PROVE_ALL = 100_000
"""Of a file with more puzzles only those that the splits need are solved and proved unique."""

SOLVED_VERSION = 1
"""Part of the key of solutions in the cache: raise it when the solver counts effort otherwise."""

_BATCH = 1024
_BARREN = 20
"""Batches without a new puzzle after which the generator gives up."""


@dataclass(frozen=True)
class Sizes:
    """Examples wanted per split; `train` None is all that the others leave."""

    train: int | None
    valid: int
    test: int


def generated(
    box: Box, blanks: tuple[int, int], sizes: Sizes, seed: int, progress: Progress | None
) -> Splits:
    """Fresh puzzles, no two the same, whose number of blanks is uniform over `blanks`.

    Raises:
        UserError: there are too few different puzzles of that kind.
    """
    assert sizes.train is not None
    rng = np.random.default_rng(seed)
    allocation = Allocation({"valid": sizes.valid, "test": sizes.test, "train": sizes.train})
    total, barren = allocation.missing, 0
    seen: set[bytes] = set()
    chosen: dict[SplitName, list[Boards]] = {name: [] for name in SPLITS}
    while allocation.missing:
        if progress is not None:
            progress("making puzzles", 1 - allocation.missing / total)
        before = allocation.missing
        solved = grids(min(_BATCH, before + before // 8 + 64), box, rng)
        wanted = rng.integers(blanks[0], blanks[1] + 1, len(solved))
        puzzles = dig(solved, wanted, box, rng)
        reached = (puzzles == 0).sum(axis=1) == wanted
        puzzles, solved = puzzles[reached], solved[reached]
        for puzzle, key in zip(puzzles, class_keys(puzzles, solved, box), strict=True):
            if (text := puzzle.tobytes()) in seen:
                continue
            seen.add(text)
            name = allocation.place(key)
            if name is not None:
                chosen[name].append(puzzle)
        barren = barren + 1 if allocation.missing == before else 0
        if barren == _BARREN:
            have = total - allocation.missing
            raise UserError(
                "task.blanks",
                list(blanks),
                f"gives {have} of the {total} examples asked; ask for fewer, or other blanks",
            )
    if progress is not None:
        progress("making puzzles", 1.0)
    return {name: graded(np.array(chosen[name]), box) for name in SPLITS}


def graded(puzzles: Boards, box: Box) -> Split:
    """Puzzles `[n, cells]` with one solution each, solved and graded, as a split."""
    found = solve(puzzles, box)
    assert (found.count == 1).all()
    return _split(puzzles, found.solution, found.effort)


def from_file(path: Path, box: Box, sizes: Sizes, seed: int, progress: Progress | None) -> Splits:
    """All splits from one file, drawn with the seed.

    Raises:
        UserError: as `read_puzzles` and `solve_file`; or the file has too few puzzles.
    """
    rng = np.random.default_rng(seed)
    return _drawn(path, box, {"valid": sizes.valid, "test": sizes.test}, sizes.train, rng, progress)


def whole_file(
    path: Path,
    box: Box,
    *,
    examples: int | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Split:
    """Every puzzle of a file, in its order.

    A solution that the file gives is checked and taken, so its puzzle may have others, and its
    difficulty counts the blanks alone. Those of the other puzzles are found, and kept in `cache`.

    Args:
        examples: the first so many, after which nothing is looked at; None is all.

    Raises:
        UserError: as `read_puzzles` and `solve_file`.
    """
    file = read_puzzles(path, box, progress, examples)
    solutions, effort = file.solutions.copy(), np.zeros(len(file), dtype=np.int32)
    open_ones = np.flatnonzero(~file.solutions.any(axis=1))
    if len(open_ones):
        wanted = file.take(open_ones)

        def solved() -> Arrays:
            found = solve_file(wanted, box, progress)
            return {"solution": found.solution, "effort": found.effort}

        digest = hashlib.sha256(wanted.puzzles.tobytes()).hexdigest()
        key = {"solved": SOLVED_VERSION, "box": [box.rows, box.cols], "puzzles": digest}
        kept = cached_arrays(cache, "sudoku-solved", key, solved)
        solutions[open_ones], effort[open_ones] = kept["solution"], kept["effort"]
    return _split(file.puzzles, solutions, effort)


def from_hub(
    train: Path, test: Path, box: Box, sizes: Sizes, seed: int, progress: Progress | None
) -> Splits:
    """`test` from one file, `train` and `valid` from another, less what is equivalent to `test`.

    Raises:
        UserError: as `from_file`.
    """
    rng = np.random.default_rng(seed)
    splits = _drawn(test, box, {"test": sizes.test}, 0, rng, progress)
    held = splits["test"]
    taken = class_keys(_boards(held.inputs), _boards(held.labels), box)
    rest = _drawn(train, box, {"valid": sizes.valid}, sizes.train, rng, progress, taken)
    return {**rest, **splits}


def _drawn(
    path: Path,
    box: Box,
    sizes: dict[SplitName, int],
    train: int | None,
    rng: np.random.Generator,
    progress: Progress | None,
    taken: Iterable[bytes] = (),
) -> Splits:
    """Splits of `sizes` and, unless `train` is 0, the train split, from one file."""
    file = read_puzzles(path, box, progress)
    if train is None:
        sizes = {**sizes, "train": max(1, len(file) - sum(sizes.values()))}
    elif train:
        sizes = {**sizes, "train": train}
    wanted = sum(sizes.values())
    if len(file) > PROVE_ALL:
        spare = wanted // 20 + 100  # for puzzles whose class another split has
        file = file.take(np.sort(rng.permutation(len(file))[: wanted + spare]))
    found = solve_file(file, box, progress)
    allocation = Allocation(sizes, taken)
    keys = class_keys(file.puzzles, found.solution, box)
    chosen = allocate(keys, allocation, rng)
    short = {f"{name}_examples": room for name, room in allocation.room.items() if room}
    if train is None and chosen["train"]:
        short.pop("train_examples", None)  # members of the other splits' classes are left out
    if short:
        asked = ", ".join(f"{name}_examples {size}" for name, size in sizes.items())
        raise UserError(
            f"{path}: {len(file)} puzzles are too few for {asked} with no equivalent puzzles in "
            "two splits; ask for fewer"
        )
    return {
        name: _split(file.puzzles[index], found.solution[index], found.effort[index])
        for name, index in chosen.items()
    }


def _split(puzzles: Boards, solutions: Boards, effort: NDArray[np.int32]) -> Split:
    difficulty = (puzzles == 0).sum(axis=1) + np.log2(1.0 + effort)
    return make_split(puzzles + 1, solutions + 1, difficulty)


def _boards(tokens: Tokens) -> Boards:
    return (tokens - 1).astype(np.uint8)
