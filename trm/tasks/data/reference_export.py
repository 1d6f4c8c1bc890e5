"""Any task as a data folder of the reference repository, on which its `pretrain.py` trains."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm.errors import UserError
from trm.tasks.base import IGNORE, Progress, Split, SplitName, Task, Tokens
from trm.tasks.cache import SPLITS
from trm.tasks.data.tables import ROWS

SET = "all"


@dataclass(frozen=True)
class Levels:
    """Where the puzzles of a split begin among its examples, and groups among its puzzles.

    Attributes:
        puzzles: ascending from 0 to the number of examples.
        groups: ascending from 0 to the number of puzzles.
    """

    puzzles: NDArray[np.int64]
    groups: NDArray[np.int64]


def export_folder(
    task: Task,
    folder: Path,
    *,
    copies: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Write a task's splits as `train`, `valid` and `test`; the reference reads the first and last.

    Args:
        copies: augmented images of each training example, as further puzzles of its group. The
            reference augments when it makes a folder, not while it trains.
        seed: draws them.

    Returns:
        Examples of each split.

    Raises:
        UserError: the folder holds something, or the task augments nothing and copies are wanted.
        OSError: it cannot be written.
    """
    if copies and not task.augments:
        raise UserError(
            "--copies", copies, f"is for tasks that augment, and this {task.name} does not"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is there already: name a folder that is new or empty")
    ignored = _ignored_label(task)
    rng = np.random.default_rng(seed)
    written: dict[str, int] = {}
    for place, name in enumerate(SPLITS):
        more = copies if name == "train" else 0
        written[name] = _write_split(task, name, folder / name, ignored, more, rng)
        if progress is not None:
            progress("writing arrays", (place + 1) / len(SPLITS))
    names = list(task.identifiers) or [
        "<blank>", *map(str, range(1, task.num_puzzle_identifiers))
    ]  # fmt: skip
    (folder / "identifiers.json").write_text(json.dumps(names), encoding="utf-8")
    return written


def _ignored_label(task: Task) -> int:
    """A label for cells that do not count: 0, unless it means a token."""
    for name in SPLITS:
        labels = task.split(name).labels
        if any((labels[k : k + ROWS] == 0).any() for k in range(0, len(labels), ROWS)):
            return task.vocab_size
    return 0


def _write_split(
    task: Task, name: SplitName, folder: Path, ignored: int, copies: int, rng: np.random.Generator
) -> int:
    split, levels = task.split(name), _levels(task, name)
    folder.mkdir(parents=True)
    largest = max(task.vocab_size - 1, ignored)
    dtype = np.uint8 if largest < 256 else np.uint16 if largest < 65_536 else np.int32
    times = copies + 1
    shape = (len(split) * times, task.seq_len)
    inputs, labels = (
        np.lib.format.open_memmap(
            folder / f"{SET}__{field}.npy", mode="w+", dtype=np.dtype(dtype), shape=shape
        )
        for field in ("inputs", "labels")
    )
    if copies:
        _copied(task, split, times, inputs, labels, ignored, rng)
    else:
        for begin in range(0, len(split), ROWS):
            part = slice(begin, begin + ROWS)
            inputs[part] = split.inputs[part]
            labels[part] = _named(split.labels[part], ignored)
    puzzles, groups = levels.puzzles, levels.groups
    identifiers = split.puzzle_identifiers[puzzles[:-1]]
    if copies:  # each example is a group of its own then, and each image a puzzle
        puzzles = np.arange(len(split) * times + 1)
        groups = np.arange(len(split) + 1) * times
        identifiers = np.repeat(split.puzzle_identifiers, times)
    for field, array in (
        ("puzzle_indices", puzzles), ("group_indices", groups), ("puzzle_identifiers", identifiers)
    ):  # fmt: skip
        np.save(folder / f"{SET}__{field}.npy", array.astype(np.int32))
    head: dict[str, Any] = {
        "pad_id": 0, "ignore_label_id": ignored, "blank_identifier_id": 0,
        "vocab_size": task.vocab_size, "seq_len": task.seq_len,
        "num_puzzle_identifiers": task.num_puzzle_identifiers,
        "total_groups": len(groups) - 1,
        "mean_puzzle_examples": len(inputs) / (len(puzzles) - 1),
        "total_puzzles": len(puzzles) - 1, "sets": [SET],
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(head), encoding="utf-8")
    return len(inputs)


def _levels(task: Task, name: SplitName) -> Levels:
    from trm.tasks.data.task import DataTask

    if isinstance(task, DataTask) and (levels := task.levels(name)) is not None:
        return Levels(*levels)
    each = np.arange(len(task.split(name)) + 1)
    return Levels(each, each)


def _copied(
    task: Task,
    split: Split,
    times: int,
    inputs: NDArray[Any],
    labels: NDArray[Any],
    ignored: int,
    rng: np.random.Generator,
) -> None:
    for begin in range(0, len(split), 1024):
        part = slice(begin, begin + 1024)
        originals = split.inputs[part], split.labels[part]
        moved = [originals] + [task.augment(*originals, rng) for _ in range(times - 1)]
        here = slice(begin * times, (begin + len(originals[0])) * times)
        for array, k in ((inputs, 0), (labels, 1)):
            stacked = np.stack([pair[k] for pair in moved], axis=1)
            rows = stacked.reshape(-1, stacked.shape[-1])
            array[here] = rows if k == 0 else _named(rows, ignored)


def _named(labels: Tokens, ignored: int) -> Tokens:
    return np.where(labels == IGNORE, ignored, labels)
