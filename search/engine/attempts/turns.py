"""Who is next: trials that lost their worker, those of the source, and those that wait for more.

A trial that lost its worker is the next one, unless that happens to it again and again: then others
go first. One that needs a larger part of a GPU is the last one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from search.engine.source import TrialSource
from search.ledger.trial import Trial


class Turns:
    """The trials of one execution that could start.

    Args:
        source: gives those that nothing has happened to.
    """

    def __init__(self, source: TrialSource) -> None:
        self._source = source
        self._again: deque[Trial] = deque()
        self._later: deque[tuple[int, Trial]] = deque()
        self._larger: deque[Trial] = deque()
        self._begun = 0

    def next(self) -> Trial | None:
        """The next one; None if none can start now."""
        if self._again:
            return self._again.popleft()
        if self._later and self._later[0][0] < self._begun:
            return self._later.popleft()[1]
        if (trial := self._source.next()) is not None:
            return trial
        if self._later:
            return self._later.popleft()[1]
        return self._larger.popleft() if self._larger else None

    def beside(self, trial: Trial, most: int, fits: Callable[[Trial], bool]) -> list[Trial]:
        """Further seeds of the config of a trial that goes now, which need not wait either.

        Args:
            most: so many, at most.
            fits: whether one may be trained with others.
        """
        found = [one for one in self._again if fits(one) and one.differs_in_seed_alone(trial)]
        for one in found[:most]:
            self._again.remove(one)
        for one in self._source.beside(trial, most - len(found[:most])):
            if fits(one):
                found.append(one)
            else:
                self._again.append(one)
        return found[:most]

    def began(self) -> None:
        """An attempt began: who waits for others waits no more."""
        self._begun += 1

    def at_once(self, trial: Trial) -> None:
        """Have a trial go before all others."""
        self._again.append(trial)

    def after_others(self, trial: Trial) -> None:
        """Have a trial go once another one has begun, or if there is none."""
        self._later.append((self._begun, trial))

    def at_last(self, trial: Trial) -> None:
        """Have a trial go when nothing else can start."""
        self._larger.append(trial)

    def drop(self, trial: Trial) -> None:
        """A trial goes no more."""
        self._again = deque(one for one in self._again if one is not trial)
        self._later = deque(pair for pair in self._later if pair[1] is not trial)
        self._larger = deque(one for one in self._larger if one is not trial)

    def waiting(self) -> int:
        """Trials that only lack room, as far as that is known without drawing any."""
        return self._held() + self._source.waiting()

    def exhausted(self) -> bool:
        """Whether none will ever start, once all that run have ended."""
        return not self._held() and self._source.exhausted()

    def _held(self) -> int:
        return len(self._again) + len(self._later) + len(self._larger)
