"""Drawn tasks in which part of an answer is given; any completion that the rules take is right."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from trm.tasks.base import Task, Tokens
from trm.tasks.drawn import NOTHING, DrawnTask
from trm.tasks.picture import Painting

CHUNK = 1_024
"""Puzzles that are completed at once."""


class CompletionTask(DrawnTask):
    """A grid of which some cells are open; the label is the first of its completions.

    Which one is first follows from the puzzle, so that equal puzzles have equal labels; but any
    completion is right. The training asks the rules.

    >>> from trm.tasks.constraints.queens import QueensConfig
    >>> task = QueensConfig(size=5, place=[3, 4], beyond=5, train_examples=8, valid_examples=2,
    ...                     test_examples=2).build()
    >>> task.many_answers
    True
    """

    many_answers = True

    @abstractmethod
    def completed(self, inputs: Tokens) -> tuple[Tokens, NDArray[np.bool_]]:
        """The first completion of each puzzle `[n, seq_len]`, and whether it has any."""

    @abstractmethod
    def moved(self, tokens: Tokens, symmetry: NDArray[np.int64]) -> Tokens:
        """Puzzles or answers under the symmetry of each row's number."""

    @property
    @abstractmethod
    def symmetries(self) -> int:
        """How many there are."""

    def answer(self, inputs: Tokens) -> Tokens:
        parts = [inputs[begin : begin + CHUNK] for begin in range(0, len(inputs), CHUNK)]
        return np.concatenate([self.completed(part)[0] for part in parts] or [inputs])

    def augment(
        self, inputs: Tokens, labels: Tokens, rng: np.random.Generator
    ) -> tuple[Tokens, Tokens]:
        if not self.augments:
            return inputs, labels
        chosen = rng.integers(self.symmetries, size=len(inputs))
        return self.moved(inputs, chosen), self.moved(labels, chosen)

    def unknown(self, inputs: Tokens) -> NDArray[np.bool_]:
        """The open cells."""
        return np.asarray(inputs == NOTHING)

    def painted(self, tokens: Tokens, given: Tokens | None = None) -> Painting:
        """The whole answer, also where it changes what is given."""
        return Task.painted(self, tokens, given)

    def kept(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        """Whether each answer keeps what is given, `[n]`."""
        return np.asarray(((inputs == NOTHING) | (inputs == answers)).all(axis=1))
