"""Keeping the splits of tasks with the same rules apart from each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trm.errors import UserError
from trm.tasks.base import SplitName, Task

_ORDER: tuple[SplitName, ...] = ("test", "valid", "train")
"""Who keeps a puzzle that occurs in several splits: the held-out ones, and `test` first."""

Kept = dict[SplitName, NDArray[np.intp]]


def disjoint(tasks: Mapping[str, Task]) -> dict[str, Kept]:
    """The examples of each task and split to keep, so that no puzzle stands in two splits of any.

    Args:
        tasks: by name; all with the same rules, so that their symmetry keys compare.

    Raises:
        UserError: nothing of some split would be left.
    """
    if len(tasks) == 1:
        return {
            name: {split: np.arange(len(task.split(split))) for split in _ORDER}
            for name, task in tasks.items()
        }
    kept: dict[str, Kept] = {name: {} for name in tasks}
    held: set[bytes] = set()
    for split in _ORDER:
        found: set[bytes] = set()
        for name, task in tasks.items():
            examples = task.split(split)
            keys = task.symmetry_keys(examples.inputs, examples.labels)
            kept[name][split] = np.flatnonzero([key not in held for key in keys])
            if not len(kept[name][split]):
                others = ", ".join(other for other in tasks if other != name)
                raise UserError(
                    f"task.tasks.{name}: each of its {split} puzzles is held out by {others}: "
                    "ask for fewer valid_examples and test_examples there"
                )
            found.update(keys)
        held |= found
    return kept
