from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trm.errors import UserError
from trm.tasks.algorithms.sort import SortConfig
from trm.tasks.base import Task
from trm.tasks.cache import SPLITS

SIZES: dict[str, Any] = {
    "train_examples": 300,
    "valid_examples": 20,
    "test_examples": 20,
    "beyond_examples": 30,
}


def made(**keys: Any) -> Task:
    return SortConfig.model_validate({**SIZES, **keys}).build()


@pytest.mark.parametrize("values", [3, 40])
def test_answers_are_sorted(values: int) -> None:
    task = made(values=values, length=[5, 9] if values < 5 else [2, 6], beyond=12,
                train_examples=60)  # fmt: skip
    assert task.beyond is not None
    for split in (task.split("train"), task.beyond):
        for row, label, length in zip(split.inputs, split.labels, split.difficulty, strict=True):
            numbers = [int(word) for word in task.show(row).split() if word != "."]
            assert len(numbers) == length
            words = [f"[{number}]" for number in sorted(numbers)]
            assert task.show(label, row).split() == words + ["."] * (12 - len(words))


def test_no_two_puzzles_hold_the_same_numbers() -> None:
    task = made(length=[3, 4], beyond=5)
    rows = [tuple(sorted(r)) for name in SPLITS for r in task.split(name).inputs.tolist()]
    assert len(set(rows)) == len(rows)
    task = made(length=[3, 4], beyond=5, augment=True)
    split = task.split("train")
    moved, labels = task.augment(split.inputs, split.labels, np.random.default_rng(0))
    assert np.array_equal(labels, split.labels)
    assert not np.array_equal(moved, split.inputs)


@pytest.mark.parametrize("text", ["3 . 1 . .", "3 . . . ."])
def test_what_is_no_puzzle_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="two or more numbers, and then"):
        made(length=[3, 4], beyond=5).parse(text)
