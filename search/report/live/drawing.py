"""Which sections of a page that changes are made anew now: dear ones seldom, cheap ones often."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from search.report.facts import Facts
from search.report.section import Section
from search.report.write import Maker, makers

AHEAD = 20.0
"""Seconds whose share may be spent before they have passed, so that figures change together."""


@dataclass
class _Made:
    section: Section | None
    cost: float
    at: float
    stale: bool = False


class Drawing:
    """The sections of a run that goes on.

    A section that took c seconds of CPU is made anew no sooner than c / `each` seconds later, and
    all of them together get `share` of one core: importance of 200 trials takes 2 s, the race 0.01.

    Args:
        share: of one core's time, for all sections.
        each: for one.
        clock: seconds.
        spent: CPU seconds that this process has had.
    """

    def __init__(
        self, share: float, each: float, clock: Callable[[], float], spent: Callable[[], float]
    ) -> None:
        self._share, self._each, self._clock, self._spent = share, each, clock, spent
        self._made: dict[Maker, _Made] = {}
        self._owed_until = clock()

    def due(self) -> bool:
        """Whether a section shows less than is known and may be made anew."""
        now = self._clock()
        return now >= self._owed_until - AHEAD and any(
            made.stale and now >= made.at + made.cost / self._each for made in self._made.values()
        )

    def mark_stale(self) -> None:
        """The run has changed."""
        for made in self._made.values():
            made.stale = True

    def sections(self, facts: Facts, *, all_now: bool) -> list[Section]:
        """The page's sections, some of them as they were.

        Args:
            all_now: whether time is no matter: nothing runs beside it.
        """
        order = makers(facts)
        for make in self._due(order, all_now):
            begun = self._spent()
            section = make(facts)
            cost = self._spent() - begun
            self._made[make] = _Made(section, cost, self._clock())
            self._owed_until = max(self._owed_until, self._clock()) + cost / self._share
        found = (self._made[make].section for make in order)
        return [section for section in found if section is not None]

    def _due(self, order: list[Maker], all_now: bool) -> Iterator[Maker]:
        new = [make for make in order if make not in self._made]
        yield from new
        stale = [make for make in order if make not in new and self._made[make].stale]
        if not new and not all_now:
            now = self._clock()
            stale = [m for m in stale if now >= self._made[m].at + self._made[m].cost / self._each]
            stale.sort(key=lambda make: self._made[make].at)
        for make in stale:
            if all_now or self._clock() >= self._owed_until - AHEAD:
                yield make
