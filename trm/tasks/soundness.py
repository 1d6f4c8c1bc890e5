"""Whether a task's data is what the contract says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm.fault import require, working
from trm.tasks.base import IGNORE, Split, SplitName, Task, Tokens
from trm.tasks.cache import SPLITS, data_hash

FEW = 8
"""Examples of each split that are verified and augmented."""
MANY = 20_000
"""Examples of each split that are held against those of the others."""
_ROWS = 65_536


def require_sound_task(
    task: Task, names: Sequence[SplitName] = SPLITS, few: int = FEW, many: int = MANY
) -> None:
    """Check a task's arrays whole, and its rules on a few examples.

    Args:
        names: splits to look at; with all of them, the hash of the data is checked too.
        few: examples that are verified and augmented.
        many: examples of a split that are looked for in the others.

    Raises:
        Fault: one line naming the task, what it gave and the remedy.
    """
    component = f"task {getattr(task, 'name', type(task).__name__)!r}"
    with working(component, "when its data is looked at"):
        splits = {name: task.split(name) for name in names}
        parts: dict[str, Split] = {str(name): split for name, split in splits.items()}
        if len(splits) == len(SPLITS) and task.beyond is not None:
            parts["beyond"] = task.beyond
        for name, split in parts.items():
            require_arrays(f"{component}, {name}", task, split)
        require_apart(component, parts, many)
        require_apart_by_symmetry(component, task, parts, few)
        for name, split in parts.items():
            require_rules(f"{component}, {name}", task, split, few)
        require_augmentation(component, task, splits["train"], few)
        if len(splits) == len(SPLITS):
            require_hash(component, task, splits)


def require_arrays(where: str, task: Task, split: Split, answered: bool = True) -> None:
    """Types, shapes, tokens, difficulties and identifiers of a split.

    Args:
        answered: whether every example must have a cell that counts.

    Raises:
        Fault: the first that is not as the contract has it.
    """
    require(isinstance(split, Split), where, f"is {type(split).__name__}", "give a Split")
    count, seq_len = len(split), task.seq_len
    require(count > 0, where, "holds no example", "give it at least one")
    for field, dtype, shape in (
        ("inputs", np.int32, (count, seq_len)),
        ("labels", np.int32, (count, seq_len)),
        ("difficulty", np.float32, (count,)),
        ("puzzle_identifiers", np.int32, (count,)),
    ):
        _require_array(f"{where}.{field}", getattr(split, field), dtype, shape)
    _require_tokens(f"{where}.inputs", split.inputs, task.vocab_size)
    _require_tokens(f"{where}.labels", split.labels, task.vocab_size, ignored=True)
    require(
        not answered or all(
            bool((split.labels[begin : begin + _ROWS] != IGNORE).any(axis=1).all())
            for begin in range(0, count, _ROWS)
        ), f"{where}.labels",
        "hold an example without a cell that counts", "give each one an answer",
    )  # fmt: skip
    require(
        bool(np.isfinite(split.difficulty).all()), f"{where}.difficulty",
        "holds numbers that are not finite", "give every example a finite number, or all of them 0",
    )  # fmt: skip
    identifiers, most = split.puzzle_identifiers, task.num_puzzle_identifiers
    require(
        bool(((identifiers >= 0) & (identifiers < most)).all()), f"{where}.puzzle_identifiers",
        f"lie outside [0, {most})", "raise num_puzzle_identifiers, or lower them",
    )  # fmt: skip


def _require_array(where: str, array: Any, dtype: type, shape: tuple[int, ...]) -> None:
    wanted = f"{dtype.__name__} {list(shape)}"
    require(
        isinstance(array, np.ndarray), where, f"is {type(array).__name__}", f"give NumPy's {wanted}"
    )
    require(
        array.dtype == dtype, where, f"is {array.dtype}",
        f"cast it to {dtype.__name__} (make_split in trm.tasks.cache does)",
    )  # fmt: skip
    require(array.shape == shape, where, f"has the shape {list(array.shape)}", f"must be {wanted}")


def _require_tokens(where: str, tokens: Tokens, vocab: int, ignored: bool = False) -> None:
    ends: list[int] = []
    for begin in range(0, len(tokens), _ROWS):  # the whole may be larger than memory
        part = tokens[begin : begin + _ROWS]
        found = part[part != IGNORE] if ignored else part
        if found.size:
            ends += int(found.min()), int(found.max())
    low, high = (min(ends), max(ends)) if ends else (0, 0)
    require(
        low >= 0 and high < vocab, where, f"hold tokens from {low} to {high}",
        f"tokens lie in [0, {vocab}), or raise vocab_size",
    )  # fmt: skip


def require_apart(component: str, splits: Mapping[str, Split], many: int) -> None:
    """No puzzle of one split is equal to one of another; the first `many` of each are looked at.

    Raises:
        Fault: it is not so.
    """
    rows = {}
    for name, split in splits.items():
        kinds = split.puzzle_identifiers[:many, None]
        marked = np.concatenate((split.inputs[:many], kinds), axis=1)
        rows[name] = {row.tobytes() for row in marked}
    _require_disjoint(component, rows, "equal")


def require_apart_by_symmetry(
    component: str, task: Task, splits: Mapping[str, Split], few: int
) -> None:
    """No puzzle of one split has the symmetry key of one of another; the first `few` of each.

    Raises:
        Fault: it is not so.
    """
    keys = {}
    for name, split in splits.items():
        found = task.symmetry_keys(split.inputs[:few], split.labels[:few])
        count = len(split.inputs[:few])
        require(
            len(found) == count, component,
            f"gives {len(found)} symmetry_keys for {count} examples", "give one for each",
        )  # fmt: skip
        keys[name] = set(found)
    _require_disjoint(component, keys, "symmetry-equivalent")


def _require_disjoint(component: str, keys: Mapping[str, set[bytes]], how: str) -> None:
    for one, other in combinations(keys, 2):
        shared = len(keys[one] & keys[other])
        require(
            not shared, component, f"{shared} puzzles of {one} are {how} to ones of {other}",
            "keep the splits apart, or scores say nothing",
        )  # fmt: skip


def require_rules(where: str, task: Task, split: Split, few: int) -> None:
    """`unknown` gives what it should, and the verifier accepts labels; of the first `few` examples.

    Raises:
        Fault: it is not so.
    """
    inputs, labels = split.inputs[:few], split.labels[:few]
    unknown = task.unknown(inputs.copy())
    require(
        isinstance(unknown, np.ndarray) and unknown.dtype == bool and unknown.shape == inputs.shape,
        where, "unknown() does not give a bool for each cell", f"give bool {list(inputs.shape)}",
    )  # fmt: skip
    if (labels == IGNORE).any():
        return
    wrong = int((~verdicts(where, task, inputs, labels)).sum())
    require(
        not wrong, where, f"verify() refuses the labels of {wrong} of {len(labels)} examples",
        "mend the labels or the verifier",
    )  # fmt: skip


def verdicts(where: str, task: Task, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
    """What the task's verifier says of answers, bool `[n]`.

    Raises:
        Fault: it says something else.
    """
    found = task.verify(inputs.copy(), answers.copy())
    require(
        isinstance(found, np.ndarray) and found.dtype == bool and found.shape == (len(inputs),),
        where, "verify() does not give a bool for each example", f"give bool [{len(inputs)}]",
    )  # fmt: skip
    return found


def require_augmentation(component: str, task: Task, train: Split, few: int) -> None:
    """`augment` changes no array that it is given, and what it gives is right by the rules.

    Raises:
        Fault: it is not so.
    """
    where = f"{component}, augment()"
    inputs, labels = train.inputs[:few].copy(), train.labels[:few].copy()
    moved = task.augment(inputs, labels, np.random.default_rng(0))
    require(
        isinstance(moved, tuple) and len(moved) == 2, where, "does not give two arrays",
        "give inputs and labels",
    )  # fmt: skip
    require(
        np.array_equal(inputs, train.inputs[:few]) and np.array_equal(labels, train.labels[:few]),
        where, "changes the arrays that it is given", "change copies of them",
    )  # fmt: skip
    for field, array in zip(("inputs", "labels"), moved, strict=True):
        _require_array(f"{where}: {field}", array, np.int32, inputs.shape)
        _require_tokens(f"{where}: {field}", array, task.vocab_size, ignored=field == "labels")
    if not (labels == IGNORE).any():
        lost = int((~verdicts(where, task, *moved)).sum())
        require(
            not lost, where, f"destroys {lost} of {len(inputs)} puzzles: verify() refuses them",
            "change inputs and labels in the same way, and only by symmetries of the rules",
        )  # fmt: skip


def require_hash(component: str, task: Task, splits: Mapping[SplitName, Split]) -> None:
    """A plug-in's `data_hash` is that of its arrays.

    Raises:
        Fault: it is not so.
    """
    home = next(kind for kind in type(task).__mro__ if "data_hash" in vars(kind))
    if home.__module__.startswith("trm.tasks."):
        return
    require(
        task.data_hash == data_hash(splits, task.beyond), f"{component}, data_hash",
        "is not the hash of its arrays, so that other data could pass for these",
        "leave it out: Task has it",
    )  # fmt: skip
