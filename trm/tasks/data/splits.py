"""Which example goes into which split: as the files say, or drawn, with whole groups together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trm.errors import UserError
from trm.tasks.base import SplitName
from trm.tasks.cache import SPLITS

Ids = NDArray[np.int64]
Leaks = Literal["error", "drop"]
NOWHERE = -1
_TRAIN, _VALID, _TEST = range(3)
LARGEST_SHARE = 10
"""Unless somebody says how many, one example of so many is held out for `valid`, and as many for
`test`, and 1,000 at most."""
MOST_HELD = 1_000


def row_hashes(rows: NDArray[np.int32]) -> NDArray[np.uint64]:
    """A hash of each row `[n, length]`; rows with equal ones are taken for equal.

    The sum over the cells of a mixing of place and token by the finaliser of SplitMix64 (Steele,
    Lea and Flood 2014), mixed once more. Two of 10 million different rows agree with a chance of
    3e-6.
    """
    places = np.arange(1, rows.shape[1] + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return _mixed(_mixed(rows.astype(np.uint64) + places).sum(axis=1, dtype=np.uint64))


def _mixed(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def together(hashes: NDArray[np.uint64], group: NDArray[np.int32] | None) -> Ids:
    """An index of the set that each example belongs to: equal inputs and groups are one set."""
    same = np.unique(hashes, return_inverse=True)[1].astype(np.int64)
    if group is None:
        return same
    found = same.copy()
    while True:
        least = np.full(int(group.max()) + 1, np.iinfo(np.int64).max)
        np.minimum.at(least, group, found)
        by_group = least[group]
        least = np.full(int(same.max()) + 1, np.iinfo(np.int64).max)
        np.minimum.at(least, same, by_group)
        new = least[same]
        if np.array_equal(new, found):
            return np.unique(found, return_inverse=True)[1].astype(np.int64)
        found = new


def assigned(
    given: NDArray[np.int8],
    sets: Ids,
    sizes: Mapping[SplitName, int | None],
    seed: int,
    leaks: Leaks,
    complain: Callable[[int, int], None],
) -> NDArray[np.int8]:
    """The index of each example's split, or `NOWHERE`.

    Args:
        given: what the files say, -1 where nothing does.
        sets: as `together` gives them.
        sizes: how many examples of each split; None is all that are given or left, or, of a split
            that is drawn, a share.
        leaks: `drop` leaves what a held-out split has out of the others; `error` complains.
        complain: takes two examples of one set in two splits.

    Raises:
        UserError: nothing is left for some split, or as `complain`.
    """
    rng = np.random.default_rng(seed)
    splits = given.copy()
    if (splits >= 0).any() and (splits < 0).any():
        splits[splits < 0] = _TRAIN
    if (splits >= 0).any():
        _kept_apart(splits, sets, leaks, complain)
        if not (splits == _TRAIN).any():
            raise UserError("task: no example is left to train on: give a train split")
    else:
        splits[:] = _TRAIN
    missing = [k for k in (_TEST, _VALID) if not (splits == k).any()]
    _draw(splits, sets, [(k, sizes[SPLITS[k]]) for k in missing], rng)
    for k, name in enumerate(SPLITS):
        size, here = sizes[name], np.flatnonzero(splits == k)
        if size is None or k in missing:
            continue
        if size > len(here):
            raise UserError(
                f"task.{name}_examples", size, f"is more than the {len(here):,} there are: ask for "
                "fewer",
            )  # fmt: skip
        splits[here] = NOWHERE
        splits[rng.permutation(here)[:size]] = k
    return splits


def _kept_apart(
    splits: NDArray[np.int8], sets: Ids, leaks: Leaks, complain: Callable[[int, int], None]
) -> None:
    count = int(sets.max()) + 1
    held = np.full(count, -1, dtype=np.int64)
    for k in (_TRAIN, _VALID, _TEST):  # the later ones have the say
        held[sets[splits == k]] = k
    shared = np.flatnonzero((splits >= 0) & (splits != held[sets]))
    if leaks == "error" and len(shared):
        first: dict[int, int] = {}
        wanted = set(sets[shared].tolist())
        for index in np.flatnonzero(np.isin(sets, list(wanted)) & (splits == held[sets])):
            first.setdefault(int(sets[index]), int(index))
        for index in shared:
            complain(int(index), first[int(sets[index])])
    splits[shared] = NOWHERE


def _draw(
    splits: NDArray[np.int8],
    sets: Ids,
    wanted: list[tuple[int, int | None]],
    rng: np.random.Generator,
) -> None:
    """Take whole sets from `train`, visited in a random order, for splits that nothing gives."""
    if not wanted:
        return
    pool = np.flatnonzero(splits == _TRAIN)
    sizes = np.bincount(sets[pool], minlength=int(sets.max()) + 1)
    room = {
        k: min(MOST_HELD, max(1, len(pool) // LARGEST_SHARE)) if size is None else size
        for k, size in wanted
    }
    asked = dict(room)
    home = np.full(len(sizes), _TRAIN, dtype=np.int8)
    for one in rng.permutation(np.flatnonzero(sizes)):
        k = next((k for k, left in room.items() if sizes[one] <= left), None)
        if k is not None:
            home[one] = k
            room[k] -= int(sizes[one])
        if not any(room.values()):
            break
    for k, left in room.items():
        if left == asked[k]:
            raise UserError(
                f"task.{SPLITS[k]}_examples", asked[k], f"of {len(pool):,} examples cannot be held "
                "out with groups and equal inputs kept together: ask for more, or give splits",
            )  # fmt: skip
    splits[pool] = home[sets[pool]]
    if not (splits == _TRAIN).any():
        raise UserError(
            f"task: all of the {len(pool):,} examples are held out: ask for fewer valid_examples "
            "and test_examples"
        )


def counts(splits: NDArray[np.int8]) -> dict[str, Any]:
    """Examples of each split."""
    return {name: int((splits == k).sum()) for k, name in enumerate(SPLITS)}
