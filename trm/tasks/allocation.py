"""Which puzzle goes into which split, so that no two splits hold equivalent puzzles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from trm.tasks.base import SplitName

_LEAST_SHARE = 0.1
"""Where classes are few (4x4), a small split still gets this share of them, for diversity."""


class Allocation:
    """Gives whole equivalence classes to splits, until each split has its size.

    A class goes to the split that has the fewest classes for its size; its later members follow
    it, or go nowhere once that split is full.
    """

    def __init__(self, sizes: Mapping[SplitName, int], taken: Iterable[bytes] = ()) -> None:
        self.room = dict(sizes)
        self._home: dict[bytes, SplitName | None] = dict.fromkeys(taken)
        self._classes: Counter[SplitName] = Counter()
        least = _LEAST_SHARE * sum(sizes.values())
        self._weight = {name: max(size, least) for name, size in sizes.items()}

    @property
    def missing(self) -> int:
        """Puzzles still wanted, over all splits."""
        return sum(self.room.values())

    def place(self, key: bytes) -> SplitName | None:
        """The split of the next puzzle of class `key`; None if there is no room for it."""
        if key not in self._home:
            able = [name for name, room in self.room.items() if room]
            if not able:
                return None
            name = min(able, key=lambda name: self._classes[name] / self._weight[name])
            self._classes[name] += 1
            self._home[key] = name
        home = self._home[key]
        if home is None or not self.room[home]:
            return None
        self.room[home] -= 1
        return home


def allocate(
    keys: Sequence[bytes], allocation: Allocation, rng: np.random.Generator
) -> dict[SplitName, list[int]]:
    """The indices of each split's puzzles, visited in random order, the largest classes first."""
    members = Counter(keys)
    visits = rng.permutation(len(keys))
    turn = {keys[i]: n for n, i in enumerate(visits)}
    chosen: dict[SplitName, list[int]] = {name: [] for name in allocation.room}
    for i in sorted(visits, key=lambda i: (-members[keys[i]], turn[keys[i]])):
        name = allocation.place(keys[i])
        if name is not None:
            chosen[name].append(int(i))
    return chosen
