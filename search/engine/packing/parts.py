"""Which part of a GPU each attempt has, and on which nodes: unequal nodes give unequal parts.

Without GPUs, how many threads.

A trial that ran out of the memory of its part runs once more with a larger one. It waits until
nothing else is to start: the devices are then left by and by, and nobody is kept from them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from search.ledger.attempts import Attempt
from search.ledger.trial import Trial


@dataclass(frozen=True)
class Group:
    """Nodes on which a trial has the same part of a GPU.

    Attributes:
        nodes: their ids.
        room: trials that they hold at once.
    """

    nodes: tuple[str, ...]
    room: int


@dataclass(frozen=True)
class Part:
    """What an attempt has.

    Attributes:
        gpus: of a GPU.
        group: the part that others have on its nodes.
    """

    gpus: float
    group: float

    @property
    def grown(self) -> bool:
        """Whether it is larger than that of others."""
        return self.gpus > self.group


class Threading(Protocol):
    """Tells how many threads attempts on CPUs have."""

    def of(self, trial: Trial) -> int:
        """Threads of an attempt that begins."""

    def most(self) -> int:
        """Threads that some node still has cores for."""


class Parts:
    """The parts of the attempts of one execution.

    Args:
        attempts: those on record, by trial: who ran out of memory under an earlier driver has a
            larger part, too.
    """

    def __init__(self, attempts: Mapping[int, Sequence[Attempt]]) -> None:
        self.groups: Callable[[], Mapping[float, Group]] = dict
        self.threading: Threading | None = None
        self._threads: dict[str, tuple[int, int, int]] = {}
        self._attempts = attempts
        self._open: dict[str, tuple[int, int, Part]] = {}

    def open(self, name: str, trial: Trial, attempt: int, seeds: int = 1) -> None:
        """Give an attempt its threads, and its part if nodes have GPUs at all.

        Args:
            seeds: trials that it trains as one model, which have the memory of as many parts.
        """
        if self.threading is not None:
            self._threads[name] = (trial.id, attempt, self.threading.of(trial))
        groups = self.groups()
        if not groups:
            return
        part = self._grown_part(trial, groups)
        if part is None:
            held = [one.group for _, _, one in self._open.values()]
            free = {gpus: 1.0 - held.count(gpus) / one.room for gpus, one in groups.items()}
            gpus = max(free, key=lambda one: (free[one], one))
            part = Part(max(gpus, min(seeds * gpus, 1.0)), gpus)
        self._open[name] = (trial.id, attempt, part)

    def close(self, name: str) -> None:
        """An attempt is over."""
        self._open.pop(name, None)
        self._threads.pop(name, None)

    def clear(self) -> None:
        """All are."""
        self._open.clear()
        self._threads.clear()

    def threads(self, trial: int, attempt: int) -> int | None:
        """An attempt's threads; None where its config says them."""
        found = (n for t, a, n in self._threads.values() if (t, a) == (trial, attempt))
        return next(found, None)

    def of(self, trial: int, attempt: int) -> Part | None:
        """An attempt's part; None where it has no GPU."""
        found = (part for t, a, part in self._open.values() if (t, a) == (trial, attempt))
        return next(found, None)

    def elsewhere(self, part: Part | None) -> set[str]:
        """Nodes on which others have other parts."""
        groups = self.groups() if part is not None else {}
        return {
            node
            for gpus, group in groups.items()
            if part is not None and gpus != part.group
            for node in group.nodes
        }

    def places(self) -> int:
        """In whose place nothing else can start, though it has not begun by itself."""
        parts = [part for _, _, part in self._open.values() if part.grown and part.group]
        return sum(round(part.gpus / part.group) - 1 for part in parts)

    def fits(self, name: str, node: str) -> bool:
        """Whether an attempt is on a node where others have the part that it was given."""
        part = self._open[name][2] if name in self._open else None
        return node not in self.elsewhere(part)

    def lacking(self, name: str, trial: Trial) -> float:
        """The part of a GPU that an attempt had, if its trial may have a larger one; else 0."""
        part = self._open[name][2].gpus if name in self._open else 0.0
        return part if 0.0 < part < 1.0 and not self._short(trial) else 0.0

    def emptying(self, started: Collection[str]) -> bool:
        """Whether a larger part waits for its device, on which nothing else must start."""
        return any(part.grown and name not in started for name, (_, _, part) in self._open.items())

    def stranded(self, waiting: Collection[str]) -> list[str]:
        """Those of attempts that wait for a worker whose nodes are gone, while there are others."""
        groups = self.groups()
        held = {name: entry[2] for name, entry in self._open.items() if name in waiting}
        lost = [name for name, part in held.items() if groups and part.group not in groups]
        if self.threading is not None and (most := self.threading.most()):
            lost += [n for n, (_, _, own) in self._threads.items() if n in waiting and own > most]
        return lost

    def grows(self, trial: Trial) -> bool:
        """Whether a trial's next attempt has a larger part than others."""
        return bool(self._short(trial))

    def _short(self, trial: Trial) -> float:
        """The part of which a trial ran out; 0 if of none."""
        known = self._attempts.get(trial.id, ())
        return max((one.gpus for one in known if one.cause == "memory"), default=0.0)

    def _grown_part(self, trial: Trial, groups: Mapping[float, Group]) -> Part | None:
        short = self._short(trial)
        with_gpus = [gpus for gpus in groups if gpus]
        if not short or not with_gpus:
            return None
        # Twice as much of another device may be less memory: there it has a whole one.
        return Part(larger(short), short) if short in groups else Part(1.0, min(with_gpus))


def larger(gpus: float) -> float:
    """The part after one that was too small.

    >>> larger(0.25), larger(0.6666)
    (0.5, 1.0)
    """
    return min(2.0 * gpus, 1.0)
