"""The images of each puzzle that have an identifier of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trm.tasks.arc.files import ArcPuzzle
from trm.tasks.arc.grids import COLOURS, IMAGES, Grid, turned, unturned

BLANK = "<blank>"
"""The name of identifier 0, of puzzles that are in no file."""


@dataclass(frozen=True)
class PuzzleImages:
    """Rotations, reflections and recolourings of puzzles; image 0 of each is the puzzle itself.

    Images of a puzzle have consecutive identifiers, from 1 on in the order of the puzzles.

    Attributes:
        names: of the puzzles.
        first: identifier of each puzzle's image 0, `[puzzles]`.
        counts: images of each puzzle, `[puzzles]`.
        turns: of each identifier, `[identifiers]`, as `trm.tasks.arc.grids.turned` takes it.
        colours: what each identifier makes of colours 0 to 9, `[identifiers, 10]`.
    """

    names: tuple[str, ...]
    first: NDArray[np.int32]
    counts: NDArray[np.int32]
    turns: NDArray[np.uint8]
    colours: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.turns)

    def of(self, grid: Grid, identifier: int) -> Grid:
        """The image of a puzzle's grid."""
        return turned(self.colours[identifier][grid], int(self.turns[identifier]))

    def undone(self, grid: Grid, identifier: int) -> Grid:
        """The grid of which `of` made this one."""
        inverse = np.argsort(self.colours[identifier]).astype(np.uint8)
        return unturned(inverse[grid], int(self.turns[identifier]))

    def name(self, identifier: int) -> str:
        """`puzzle|||image|||colours`, as the reference calls them."""
        if not identifier:
            return BLANK
        puzzle = int(np.searchsorted(self.first, identifier, side="right")) - 1
        digits = "".join(map(str, self.colours[identifier]))
        return f"{self.names[puzzle]}|||t{self.turns[identifier]}|||{digits}"


def draw_images(puzzles: Sequence[ArcPuzzle], most: int, seed: int) -> PuzzleImages:
    """Up to `most` images of each puzzle, the puzzle itself included, no two drawn alike.

    Colours 1-9 are permuted and 0 stays, as in the reference; two permutations that agree on the
    colours that a puzzle has are one.
    """
    turns, colours, counts = [np.zeros(1)], [np.arange(COLOURS)[None]], []
    for index, puzzle in enumerate(puzzles):
        rng = np.random.default_rng([seed, index])
        tries = 2 * most + 16
        moved = np.concatenate(([0], rng.integers(IMAGES, size=tries)))
        names = np.tile(np.arange(COLOURS), (tries + 1, 1))
        names[1:, 1:] = rng.permuted(names[1:, 1:], axis=1)
        used = [c for c in _colours(puzzle) if c]
        drawn = np.concatenate((moved[:, None], names[:, used]), axis=1)
        _, at = np.unique(drawn, axis=0, return_index=True)
        kept = np.sort(at)[:most]
        turns.append(moved[kept])
        colours.append(names[kept])
        counts.append(len(kept))
    sizes = np.array(counts, dtype=np.int32)
    first = 1 + np.concatenate(([0], np.cumsum(sizes)[:-1]))
    return PuzzleImages(
        tuple(puzzle.name for puzzle in puzzles),
        first.astype(np.int32),
        sizes,
        np.concatenate(turns).astype(np.uint8),
        np.concatenate(colours).astype(np.uint8),
    )


def _colours(puzzle: ArcPuzzle) -> list[int]:
    grids = [grid for pair in (*puzzle.shown, *puzzle.asked) for grid in pair if grid is not None]
    return [int(c) for c in np.unique(np.concatenate([grid.ravel() for grid in grids]))]
