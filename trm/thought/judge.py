"""Which answers of a batch are right, and which pass the rules: each distinct answer is asked once.

A recursion that has settled says the same at every further step, and rollouts agree; verifiers are
plain NumPy and slow beside that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trm.tasks.base import Task, Tokens

_SEED = 20_204
_MIX = np.uint64(0x9E37_79B9_7F4A_7C15)


@dataclass(frozen=True)
class Verdict:
    """What there is to say of answers, each `[rows]`.

    Attributes:
        answer: int32, the number of an answer among the different ones to its puzzle, from 0.
        right: whether it counts as right.
        valid: whether the verifier accepts it.
    """

    answer: NDArray[np.int32]
    right: NDArray[np.bool_]
    valid: NDArray[np.bool_]


@dataclass
class Judge:
    """Judges answers to the puzzles of one batch.

    Attributes:
        task: whose rules count.
        inputs: the puzzles, `[n, seq_len]`.
        labels: their answers, likewise.
        answers: to each puzzle, the different answers so far.
    """

    task: Task
    inputs: Tokens
    labels: Tokens
    answers: list[list[Tokens]] = field(init=False)
    _known: dict[int, tuple[int, bool, bool]] = field(default_factory=dict, init=False)
    _weights: NDArray[np.uint64] = field(init=False)

    def __post_init__(self) -> None:
        self.answers = [[] for _ in self.inputs]
        rng = np.random.default_rng(_SEED)
        self._weights = np.asarray(rng.integers(0, 2**64, self.inputs.shape[1], dtype=np.uint64))

    def judge(self, answers: Tokens) -> Verdict:
        """
        Args:
            answers: to all puzzles in order, as often as there are rollouts, `[k * n, seq_len]`.
        """
        puzzles = np.tile(np.arange(len(self.inputs)), len(answers) // len(self.inputs))
        keys = self._keys(puzzles, answers)
        fresh = {key: row for row, key in enumerate(keys) if key not in self._known}
        if fresh:
            self._add(fresh, puzzles, answers)
        found = [self._known[key] for key in keys]
        number, right, valid = (np.array(column) for column in zip(*found, strict=True))
        return Verdict(number.astype(np.int32), right, valid)

    def _keys(self, puzzles: NDArray[np.int64], answers: Tokens) -> list[int]:
        """A 64-bit hash of each puzzle with its answer: linear in the tokens, random weights.

        Two answers share one with a chance of about 2^-56 (the weights are uniform, and a token's
        difference is a multiple of at most 2^8).
        """
        weighted = answers.astype(np.uint64) * self._weights
        own = (puzzles.astype(np.uint64) + np.uint64(1)) * _MIX
        keys: list[int] = (weighted.sum(axis=1, dtype=np.uint64) + own).tolist()
        return keys

    def _add(self, fresh: dict[int, int], puzzles: NDArray[np.int64], answers: Tokens) -> None:
        rows = np.fromiter(fresh.values(), np.int64, len(fresh))
        whose, said = puzzles[rows], answers[rows]
        inputs = self.inputs[whose]
        right = self.task.right(inputs, self.labels[whose], said)
        valid = right if self.task.many_answers else self.task.verify(inputs, said)
        for key, puzzle, answer, is_right, is_valid in zip(
            fresh, whose.tolist(), said, right.tolist(), valid.tolist(), strict=True
        ):
            self._known[key] = (len(self.answers[puzzle]), is_right, is_valid)
            self.answers[puzzle].append(answer.copy())
