"""Hyperband: several brackets of successive halving, from early to no stopping.

Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", JMLR 18(185),
2018, algorithm 1; asynchronous as in Li et al., MLSys 2020, section 3.2 (a bracket is an ASHA of
its own). A first rung that is too low for some configs costs only the trials of its bracket.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from search.schedulers.asha import Asha
from search.schedulers.rungs import GeometricConfig
from search.schedulers.scheduler import Decision, Mode, RungState


def bracket_sizes(brackets: int, eta: float) -> tuple[int, ...]:
    """Trials of each bracket in one round, the one that stops earliest first.

    n = ceil((s_max + 1) / (s + 1) * eta^s) for s = s_max .. 0 (algorithm 1, line 3).

    >>> bracket_sizes(3, 3.0)
    (9, 5, 3)
    """
    return tuple(math.ceil(brackets / (s + 1) * eta**s - 1e-9) for s in range(brackets - 1, -1, -1))


def round_of(sizes: Sequence[int]) -> tuple[int, ...]:
    """The bracket of each trial of a round, mixed as evenly as the sizes allow.

    Each trial goes to the bracket that is furthest behind its share, the first of equals.

    >>> round_of((3, 1))
    (0, 0, 1, 0)
    """
    order: list[int] = []
    total, given = sum(sizes), [0] * len(sizes)
    for count in range(1, total + 1):
        behind = [size * count / total - given[b] for b, size in enumerate(sizes)]
        order.append(behind.index(max(behind)))
        given[order[-1]] += 1
    return tuple(order)


class Hyperband:
    """Brackets of ASHA; a trial's number alone says which one is its own."""

    def __init__(self, shares: Sequence[float], eta: float = 3.0, mode: Mode = "max") -> None:
        self.shares = tuple(shares)
        self.brackets = [Asha(self.shares[first:], eta, mode) for first in range(len(shares))]
        self._round = round_of(bracket_sizes(len(shares), eta))

    def bracket(self, trial: int) -> int:
        """Index of a trial's bracket, whose first rung is the share of that index."""
        return self._round[trial % len(self._round)]

    def on_report(self, trial: int, share: float, score: float | None) -> Decision:
        return self._of(trial).on_report(trial, share, score)

    def on_end(self, trial: int, *, failed: bool) -> None:
        self._of(trial).on_end(trial, failed=failed)

    def promote(self, *, last: bool = False) -> int | None:
        """Nothing ever waits."""
        return None

    def close(self) -> list[int]:
        """Nothing ever waits."""
        return []

    def replay(
        self, trial: int, rows: Sequence[tuple[float, float | None]], standing: RungState
    ) -> None:
        self._of(trial).replay(trial, rows, standing)

    def _of(self, trial: int) -> Asha:
        return self.brackets[self.bracket(trial)]


class HyperbandConfig(GeometricConfig):
    """Hyperband: brackets of successive halving whose first rungs lie ever later.

    `min_share` is the first rung of the earliest bracket; the last bracket stops nothing.
    """

    name: Literal["hyperband"] = "hyperband"

    def build(self, slow_start: bool, mode: Mode = "max") -> Hyperband:
        return Hyperband(self.geometric(slow_start), self.eta, self.ranking_mode(mode))
