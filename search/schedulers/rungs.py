"""The scores at each rung: who has reached it, and who is among the best there."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Sequence

from pydantic import Field

from search.schedulers.scheduler import SLOW_START_SHARE, Mode, RungConfig

ROUNDING = 1e-9
"""A mark of rung * budget, divided by the budget again, may miss the rung by this much."""


def geometric_shares(min_share: float, eta: float) -> tuple[float, ...]:
    """Shares min_share * eta^k of a full run, ended by 1.

    A rung within a factor sqrt(eta) of the end is left out: stopping there saves little.

    >>> [round(share, 3) for share in geometric_shares(1 / 9, 3)], geometric_shares(0.25, 3)
    ([0.111, 0.333, 1.0], (0.25, 1.0))
    """
    assert min_share > 0, min_share
    assert eta > 1, eta
    shares = []
    while min_share * math.sqrt(eta) < 1:
        shares.append(min_share)
        min_share *= eta
    return (*shares, 1.0)


def highest(shares: Sequence[float], share: float) -> int:
    """Index of the highest of rising shares that is reached; -1 if none is.

    >>> highest((0.25, 1.0), 0.2), highest((0.25, 1.0), 0.5)
    (-1, 0)
    """
    return sum(share >= at - ROUNDING for at in shares) - 1


class Rungs:
    """One score a trial at each rung that it was the first to reach.

    Values are scores of which more is better, whatever the mode. Of equal ones the trial with the
    lower number ranks first.

    Attributes:
        shares: rising shares of a full run.
        values: by rung, trial to value.
    """

    def __init__(self, shares: Sequence[float], mode: Mode = "max") -> None:
        assert list(shares) == sorted(set(shares)), shares
        assert shares, "at least the end"
        self.shares = tuple(shares)
        self.values: list[dict[int, float]] = [{} for _ in shares]
        self._sign = 1.0 if mode == "max" else -1.0
        self._ordered: list[list[tuple[float, int]]] = [[] for _ in shares]
        self._reached: dict[int, int] = {}

    def enter(self, trial: int, share: float, score: float) -> int | None:
        """Enter a score at the highest rung that a report reaches; None if it reaches no new one.

        A report that passes several rungs at once counts at the highest.
        """
        rung = highest(self.shares, share)
        if rung <= self._reached.get(trial, -1):
            return None
        self.values[rung][trial] = self._sign * score
        insort(self._ordered[rung], self.key(trial, rung))
        self._reached[trial] = rung
        return rung

    def reached(self, trial: int) -> int | None:
        """The highest rung that a trial has a score at."""
        return self._reached.get(trial)

    def remove(self, trial: int) -> None:
        """Forget a trial's scores."""
        self._reached.pop(trial, None)
        for rung, values in enumerate(self.values):
            if trial in values:
                del self._ordered[rung][self.rank(trial, rung)]
                del values[trial]

    def key(self, trial: int, rung: int) -> tuple[float, int]:
        """What a rung is sorted by, the best first."""
        return -self.values[rung][trial], trial

    def rank(self, trial: int, rung: int) -> int:
        """How many trials of a rung rank before one that is there."""
        return bisect_left(self._ordered[rung], self.key(trial, rung))

    def is_top(self, trial: int, rung: int, count: int) -> bool:
        """Whether a trial's value is among the best `count` of a rung, or equals one of them."""
        ordered = self._ordered[rung]
        return count >= len(ordered) or (
            count > 0 and self.values[rung][trial] >= -ordered[count - 1][0]
        )

    def median_of_others(self, trial: int, rung: int) -> float:
        """The median value of the other trials at a rung, of which there is at least one."""
        ordered, own = self._ordered[rung], self.rank(trial, rung)
        last = len(ordered) - 2

        def other(index: int) -> float:
            return -ordered[index + (index >= own)][0]

        return (other(last // 2) + other((last + 1) // 2)) / 2


class GeometricConfig(RungConfig):
    """Rungs at shares that grow by a factor.

    Attributes:
        eta: one in eta trials goes on beyond a rung; also the factor between rungs.
        min_share: the first rung's share of a full run (at least a quarter when a curriculum or a
            learning-rate decay is searched).
    """

    eta: float = Field(default=3.0, ge=2.0, le=100.0)
    min_share: float = Field(default=1 / 9, ge=1e-4, lt=1.0)

    def geometric(self, slow_start: bool) -> tuple[float, ...]:
        """The rungs."""
        least = SLOW_START_SHARE if slow_start else 0.0
        return geometric_shares(max(self.min_share, least), self.eta)
