"""Several steps of an elementary cellular automaton on a ring."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trm.tasks.base import IGNORE, Tokens
from trm.tasks.drawn import NOTHING, NOTHING_WORD, DrawnTask, least_image
from trm.tasks.ranged import RangedConfig

_DEAD = 2
_MARK = 4
_MOST_WIDTH = 128


class AutomatonConfig(RangedConfig):
    """Run an elementary cellular automaton on a ring for k steps.

    Attributes:
        rule: the automaton's number in Wolfram's count, such as 110, 30 or 90.
        width: cells of the ring.
        steps: least and most steps, which is the difficulty; every number between is drawn equally
            often.
        beyond: most steps of the set beyond the trained range; null makes none.
    """

    ranged = "steps"
    name: Literal["automaton"] = "automaton"
    rule: int = Field(default=110, ge=0, le=255)
    width: int = Field(default=16, ge=3, le=_MOST_WIDTH)
    steps: list[int] = Field(default=[1, 4], min_length=2, max_length=2)
    beyond: int | None = 6

    @property
    def bounds(self) -> tuple[int, int]:
        return 1, self.width

    def rules(self) -> DrawnTask:
        return AutomatonTask(self)


class AutomatonTask(DrawnTask):
    """Two rows: the ring, and a mark for each step; the ring afterwards stands in the first.

    Difficulty is the number of steps. The symmetries are rotations of the ring, and reflections
    where the rule takes left and right alike.
    """

    name = "automaton"

    def __init__(self, config: AutomatonConfig) -> None:
        self.width = config.width
        self._next = (config.rule >> np.arange(8)) & 1
        mirrored = np.arange(8).reshape(2, 2, 2).T.ravel()
        self._mirrors = bool((self._next == self._next[mirrored]).all())
        self.vocabulary = f"automaton {config.rule} {config.width}"
        self.words = ("!", NOTHING_WORD, "0", "1", "@")
        self.vocab_size = len(self.words)
        self.seq_len = 2 * config.width
        self.grid_shape = (2, config.width)

    def draw(self, difficulty: int, count: int, rng: np.random.Generator) -> Tokens:
        puzzles = np.full((count, 2, self.width), NOTHING, dtype=np.int32)
        puzzles[:, 0] = _DEAD + rng.integers(2, size=(count, self.width))
        puzzles[:, 1, :difficulty] = _MARK
        return puzzles.reshape(count, -1)

    def answer(self, inputs: Tokens) -> Tokens:
        grids = inputs.reshape(-1, 2, self.width)
        cells = (grids[:, 0] == _DEAD + 1).astype(np.int64)
        steps = (grids[:, 1] == _MARK).sum(axis=1)[:, None]
        for step in range(self.width):
            around = 4 * np.roll(cells, 1, axis=1) + 2 * cells + np.roll(cells, -1, axis=1)
            cells = np.where(step < steps, self._next[around], cells)
        labels = np.full(grids.shape, IGNORE, dtype=np.int32)
        labels[:, 0] = _DEAD + cells
        return labels.reshape(inputs.shape)

    def difficulty_of(self, inputs: Tokens, labels: Tokens) -> NDArray[np.float32]:
        return np.asarray((inputs == _MARK).sum(axis=1), dtype=np.float32)

    def problem(self, puzzle: Tokens) -> str | None:
        ring, clock = puzzle.reshape(2, self.width)
        if not np.isin(ring, (_DEAD, _DEAD + 1)).all():
            return "needs 0 or 1 in each cell of the first row"
        steps = int((clock == _MARK).sum())
        if not steps or clock.tolist() != [_MARK] * steps + [NOTHING] * (self.width - steps):
            return "needs an @ for each step and then . in the second row"
        return None

    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        count = len(inputs)
        images = [
            self._moved(inputs, np.full(count, by), np.full(count, mirrored))
            for by in range(self.width)
            for mirrored in ((False, True) if self._mirrors else (False,))
        ]
        return [row.tobytes() for row in least_image(images)]

    def move(self, inputs: Tokens, rng: np.random.Generator) -> Tokens:
        by = rng.integers(self.width, size=len(inputs))
        mirrored = (rng.random(len(inputs)) < 0.5) & self._mirrors
        return self._moved(inputs, by, mirrored)

    def _moved(self, inputs: Tokens, by: NDArray[np.int64], mirrored: NDArray[np.bool_]) -> Tokens:
        grids = inputs.reshape(-1, 2, self.width)
        along = np.where(mirrored, -1, 1)[:, None] * np.arange(self.width)
        moved = grids.copy()
        moved[:, 0] = np.take_along_axis(grids[:, 0], (along - by[:, None]) % self.width, 1)
        return moved.reshape(inputs.shape)
