"""What every drawn task keeps, whatever its rules are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from curricula.component import by_name
from trm.errors import UserError
from trm.tasks import TASKS
from trm.tasks.base import IGNORE
from trm.tasks.cache import SPLITS
from trm.tasks.drawn import DrawnConfig, DrawnTask

NAMES = sorted(name for name, kind in TASKS.items() if issubclass(kind, DrawnConfig))
SIZES = {
    "train_examples": 120, "valid_examples": 20, "test_examples": 20, "beyond_examples": 16
}  # fmt: skip

FEW: dict[str, dict[str, Any]] = {
    "queens": {"size": 5, "place": [2, 3], "beyond": None},
    "colouring": {"size": 2, "open": [1, 4], "beyond": None},
    "pointers": {"cells": 3, "hops": [1, 1], "beyond": None},
    "sort": {"values": 2, "length": [2, 4], "beyond": None},
    "search": {"values": 4, "length": [2, 3], "beyond": None},
    "graph": {"nodes": 4, "farthest": [1, 2], "beyond": None},
    "automaton": {"width": 4, "steps": [1, 2], "beyond": None},
    "arithmetic": {"size": [1, 1], "beyond": None},
    "permutations": {"degree": 3, "letters": "adjacent", "length": [2, 4], "beyond": None},
    "program": {"examples": 1, "width": 1, "steps": [1, 1], "beyond": None},
    "recall": {"pairs": [1, 1], "keys": 3, "values": 2, "beyond": None},
}
"""Keys with which each task has fewer puzzles than `SIZES` asks for."""


def config(name: str, **keys: Any) -> DrawnConfig:
    made = by_name(TASKS, {"name": name, **SIZES, **keys})
    assert isinstance(made, DrawnConfig)
    return made


@pytest.fixture(scope="module", params=NAMES)
def task(request: pytest.FixtureRequest) -> DrawnTask:
    made = config(request.param).build()
    assert isinstance(made, DrawnTask)
    return made


def test_puzzles_are_read_as_they_are_shown(task: DrawnTask) -> None:
    for row in task.split("valid").inputs:
        assert np.array_equal(task.parse(task.show(row)), row)


def test_an_answer_is_shown_where_it_is_asked_for(task: DrawnTask) -> None:
    split = task.split("valid")
    for given, label in zip(split.inputs, split.labels, strict=True):
        whole = np.where(label == IGNORE, 0, label).astype(np.int32)
        assert task.show(label, given) == task.show(whole, given)
        assert task.show(label, given).count("[") == int(task.unknown(given[None]).sum())


def test_labels_are_right_and_a_change_of_any_answered_cell_is_not_the_label(
    task: DrawnTask,
) -> None:
    split = task.split("valid")
    assert task.verify(split.inputs, split.labels).all()
    ignored = np.where(split.labels == IGNORE, 0, split.labels).astype(np.int32)
    assert task.verify(split.inputs, ignored).all()
    for cell in range(task.seq_len):
        due = split.labels[:, cell] != IGNORE
        wrong = ignored.copy()
        wrong[:, cell] = 0
        assert not task.verify(split.inputs[due], wrong[due]).any()


def test_no_difficulty_is_beyond_its_range(task: DrawnTask) -> None:
    made = config(task.name)
    for name in SPLITS:
        assert set(task.split(name).difficulty.astype(int)) <= set(made.trained)
    assert task.beyond is not None
    assert set(task.beyond.difficulty.astype(int)) == set(made.further)


def test_the_set_beyond_is_apart_cached_and_part_of_the_hash(
    task: DrawnTask, tmp_path: Path
) -> None:
    made = config(task.name)
    written, read = made.build(tmp_path), made.build(tmp_path)
    assert task.beyond is not None
    for other in (written, read):
        assert other.beyond is not None
        assert np.array_equal(other.beyond.inputs, task.beyond.inputs)
        assert other.data_hash == task.data_hash
    keys = set(task.symmetry_keys(task.beyond.inputs, task.beyond.labels))
    for name in SPLITS:
        split = task.split(name)
        assert not keys & set(task.symmetry_keys(split.inputs, split.labels))
    none = made.model_copy(update={"beyond": None}).build()
    assert none.beyond is None
    assert none.data_hash != task.data_hash


def test_rows_that_are_no_puzzle_cost_no_error(task: DrawnTask) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.integers(task.vocab_size, size=(50, task.seq_len), dtype=np.int32)
    answers = rng.integers(task.vocab_size, size=inputs.shape, dtype=np.int32)
    assert task.verify(inputs, answers).shape == (50,)
    assert task.unknown(inputs).shape == inputs.shape


def test_what_is_no_puzzle_is_refused_in_one_line(task: DrawnTask) -> None:
    text = task.show(task.split("valid").inputs[0])
    first = text.split()[0]
    for bad in ("", "0", text + " 1", text.replace(first, "x#", 1), text.replace(first, "!", 1)):
        with pytest.raises(UserError) as error:
            task.parse(bad)
        assert "\n" not in str(error.value).replace(bad, "")
    if task.many_answers:
        return  # nothing given is a puzzle there
    empty = " ".join("." for _ in range(task.seq_len))
    with pytest.raises(UserError, match=r"needs|asks"):
        task.parse(empty)


@pytest.mark.parametrize("name", NAMES)
def test_more_examples_than_puzzles_is_an_error(name: str) -> None:
    with pytest.raises(UserError, match="different puzzles found: lower train_examples") as error:
        config(name, **FEW[name]).build()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        ("queens", {"size": 11}, "less than or equal to 10"),
        ("queens", {"place": [2, 9]}, "<= 8"),
        ("colouring", {"colours": 2}, "greater than or equal to 3"),
        ("colouring", {"open": [0, 3]}, r"open \[0, 3\]"),
        ("sort", {"length": [1, 3]}, r"length \[1, 3\] must be .* 2 <= low"),
        ("sort", {"values": 1}, "greater than or equal to 2"),
        ("search", {"length": [4, 32]}, "<= 31"),
        ("search", {"beyond": 32}, "at most 31"),
        ("graph", {"farthest": [1, 8]}, "<= 7"),
        ("graph", {"density": 1.5}, "less than or equal to 1"),
        ("automaton", {"rule": 256}, "less than or equal to 255"),
        ("automaton", {"steps": [1, 17]}, "<= 16"),
        ("arithmetic", {"size": [0, 2]}, r"size \[0, 2\]"),
        ("arithmetic", {"base": 17}, "less than or equal to 16"),
        ("arithmetic", {"operation": "division"}, "operation"),
        ("pointers", {"hops": [0, 3]}, r"hops \[0, 3\] must be \[low, high\] with 1 <="),
        ("pointers", {"hops": [1, 9]}, r"<= 8"),
        ("pointers", {"beyond": 6}, "beyond 6 must be more than 6"),
        ("pointers", {"cells": 2}, "greater than or equal to 3"),
        ("permutations", {"degree": 6}, "less than or equal to 5"),
        ("permutations", {"length": [4, 2]}, r"length \[4, 2\] must be"),
        ("permutations", {"letters": "odd"}, "letters"),
        ("recall", {"pairs": [2, 17]}, r"pairs \[2, 17\] must be"),
        ("recall", {"beyond": 17}, "beyond 17 must be more than 6"),
        ("recall", {"queries": 0}, "greater than or equal to 1"),
    ],
)
def test_bounds(name: str, keys: dict[str, Any], message: str) -> None:
    with pytest.raises((ValidationError, ValueError), match=message):
        config(name, **keys)


@pytest.mark.parametrize("name", NAMES)
def test_moving_keeps_a_puzzle_a_puzzle(name: str) -> None:
    task = config(name, augment=True).build()
    assert isinstance(task, DrawnTask)
    split = task.split("train")
    inputs, labels = task.augment(split.inputs, split.labels, np.random.default_rng(3))
    assert task.verify(inputs, labels).all()
    assert [task.problem(row) for row in inputs] == [None] * len(inputs)
    assert (inputs != split.inputs).any(axis=1).mean() > 0.3


@pytest.mark.parametrize("name", NAMES)
def test_two_lengths_in_a_mixture_share_no_puzzle_of_two_splits(name: str) -> None:
    larger: dict[str, dict[str, int]] = {
        "pointers": {"cells": 9},
        "automaton": {"width": 17},
        "graph": {"nodes": 9},
        "queens": {"size": 9},
        "program": {"width": 5},
        "colouring": {"size": 5},
    }
    longer = larger.get(name, {"beyond": 14})
    sections = {"a": {"name": name, **SIZES}, "b": {"name": name, **SIZES, **longer}}
    task = by_name(TASKS, {"name": "mixture", "tasks": sections}).build()
    held = [
        {row[row > 0].tobytes() for row in task.split(split).inputs} for split in SPLITS
    ]  # fmt: skip
    assert not held[0] & held[1] | held[0] & held[2] | held[1] & held[2]
    for split in SPLITS:
        examples = task.split(split)
        assert task.verify(examples.inputs, examples.labels).all()
    alone = [by_name(TASKS, section).build() for section in sections.values()]
    if all(isinstance(one, DrawnTask) and one.padded for one in alone):
        assert task.vocab_size == 1 + sum(one.vocab_size - 1 for one in alone)
