"""Whether a checkpoint is of the vocabulary, the data and the config that are used now."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import Any

from curricula.component import shown
from trm.checkpoint.head import Head
from trm.config import Experiment
from trm.errors import UserError
from trm.tasks.base import Task


def require_same_vocabulary(folder: Path, head: Head, task: Task) -> None:
    """
    Raises:
        UserError: the checkpoint's tokens have other names than the task's.
    """
    for old, new in zip_longest(head.vocabulary, task.tokens if head.vocabulary else ()):
        if old != new:
            raise UserError(
                f"{folder}: was trained on another vocabulary: its token {shown(old)} is "
                f"{shown(new)} in the data of now: restore the file, or set task.vocabulary"
            )


def require_same_data(folder: Path, head: Head, task: Task) -> None:
    """
    Raises:
        UserError: the checkpoint was trained on other data than the task holds now.
    """
    require_same_vocabulary(folder, head, task)
    if head.provenance["data_hash"] != task.data_hash:
        raise UserError(
            f"{folder}: was trained on other data than its task section gives now: "
            "restore the puzzle file or the version that made the data"
        )


def require_same_config(
    path: Path, old: Experiment, new: Experiment, except_for: tuple[str, ...] = ()
) -> None:
    """
    Raises:
        UserError: `new` has another value somewhere than `old`, which `path` holds; the name of
            the experiment and what lies below the keys `except_for` do not count.
    """
    apart = tuple(f"{key}." for key in except_for)
    before, after = (
        {key: value for key, value in _leaves(tree).items() if not f"{key}.".startswith(apart)}
        for tree in (old.tree(), new.tree())
    )
    for key in [*before, *(key for key in after if key not in before)]:
        if key != "name" and before.get(key) != after.get(key):
            raise UserError(
                f"{key}: {shown(after.get(key))} differs from {shown(before.get(key))} in {path}: "
                "use the same config, or start a new run"
            )


def _leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """The values of a config tree by dotted path."""
    if not isinstance(tree, dict):
        return {path: tree}
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _leaves(value, f"{path}.{key}" if path else key)
    return found
