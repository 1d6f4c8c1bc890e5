"""The ended candidates of a sweep from best to worst, kept in order as they end."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from search.objectives.objective import Direction
from search.samplers.history import PastTrial, RankKey, standing
from search.samplers.optuna_trials import FAILURE_VIOLATION, INFEASIBLE_VIOLATION

FloatArray = npt.NDArray[np.float64]


class Ranking:
    """The order depends on which records were added, not on when."""

    def add(self, record: PastTrial) -> None:
        """Take in a record that has ended and says something."""
        raise NotImplementedError

    def pick(self, places: Iterable[int]) -> list[int]:
        """The numbers of the records at these places, the best at 0."""
        raise NotImplementedError


class SingleRanking(Ranking):
    """One objective: by `standing`, equal ones by number."""

    def __init__(self, direction: Direction) -> None:
        self._direction = direction
        self.order: list[tuple[RankKey, int]] = []

    def add(self, record: PastTrial) -> None:
        insort(self.order, (standing(record, self._direction), record.number))

    def pick(self, places: Iterable[int]) -> list[int]:
        return [self.order[place][1] for place in places]


class ParetoRanking(Ranking):
    """Several objectives: by violation, then by how many others dominate a record, then by number.

    The count of dominating records, 0 on the front, is the rank of Fonseca and Fleming, "Genetic
    Algorithms for Multiobjective Optimization", ICGA 1993. Each record updates it in O(n).
    """

    def __init__(self, directions: Sequence[Direction]) -> None:
        self._signs = np.array([-1.0 if d == "maximize" else 1.0 for d in directions])
        self._numbers: list[int] = []
        self._size = 0
        self._losses: FloatArray = np.empty((64, len(directions)))
        self._violations: FloatArray = np.empty(64)
        self._dominators: FloatArray = np.empty(64)

    def add(self, record: PastTrial) -> None:
        if self._size == len(self._violations):
            self._grow()
        index, self._size = self._size, self._size + 1
        self._numbers.append(record.number)
        total = violation(record)
        self._violations[index] = total
        loss = self._signs * record.values if record.values else np.full(len(self._signs), np.inf)
        self._losses[index] = loss
        alike = self._violations[:index] == total
        others = self._losses[:index]
        better = alike & (others <= loss).all(axis=1) & (others < loss).any(axis=1)
        worse = alike & (others >= loss).all(axis=1) & (others > loss).any(axis=1)
        self._dominators[:index] += worse
        self._dominators[index] = better.sum()

    def pick(self, places: Iterable[int]) -> list[int]:
        size = self._size
        numbers = np.array(self._numbers)
        order = np.lexsort((numbers, self._dominators[:size], self._violations[:size]))
        return [int(number) for number in numbers[order[[*places]]]]

    def _grow(self) -> None:
        self._losses = np.concatenate([self._losses, np.empty_like(self._losses)])
        self._violations = np.concatenate([self._violations, np.empty_like(self._violations)])
        self._dominators = np.concatenate([self._dominators, np.empty_like(self._dominators)])


def violation(record: PastTrial) -> float:
    """How far a record of several objectives is from a valid result; 0 for a valid one."""
    if record.failed:
        return FAILURE_VIOLATION
    if record.outcome == "infeasible":
        return INFEASIBLE_VIOLATION
    if record.outcome == "completed":
        return record.excess
    return 1.0 - min(record.progress, 0.99)


def spread(count: int, most: int | None) -> list[int]:
    """At most `most` places of `count`: the best half of them, and an even spread over the rest.

    >>> spread(10, 4), spread(3, None)
    ([0, 1, 4, 8], [0, 1, 2])
    """
    if most is None or count <= most:
        return [*range(count)]
    best = most // 2
    step = (count - best) / (most - best)
    return [*range(best), *(best + int((index + 0.5) * step) for index in range(most - best))]
