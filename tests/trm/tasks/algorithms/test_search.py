from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trm.errors import UserError
from trm.tasks.algorithms.search import BinarySearchConfig
from trm.tasks.base import Task

SIZES: dict[str, Any] = {
    "train_examples": 300,
    "valid_examples": 20,
    "test_examples": 20,
    "beyond_examples": 30,
}


def made(**keys: Any) -> Task:
    return BinarySearchConfig.model_validate({**SIZES, **keys}).build()


def probes(row: list[int], sought: int) -> list[int]:
    """The cells that a search looks at, by the book."""
    if not row:
        return []
    middle = (len(row) - 1) // 2
    if row[middle] == sought:
        return [middle]
    if row[middle] > sought:
        return [middle, *probes(row[:middle], sought)]
    return [middle, *(middle + 1 + at for at in probes(row[middle + 1 :], sought))]


def test_answers_are_those_of_a_recursive_search() -> None:
    task = made(values=40, length=[1, 9], beyond=20)
    assert task.beyond is not None
    found = set()
    for split in (task.split("train"), task.beyond):
        for puzzle, label, length in zip(split.inputs, split.labels, split.difficulty, strict=True):
            sought, *row = (int(word) for word in task.show(puzzle).split() if word != ".")
            assert len(row) == length
            marks = ["[-]"] * len(row)
            for order, at in enumerate(probes(row, sought)):
                marks[at] = f"[#{order + 1}]"
            shown = task.show(label, puzzle).split()
            assert shown == [str(sought), *marks, *["."] * (20 - len(row))]
            found.add(sought in row)
    assert found == {True, False}


def test_adding_a_number_to_all_is_the_symmetry() -> None:
    task = made(values=30, length=[3, 3], beyond=4)
    rows = np.stack([task.parse(text) for text in ("5 1 5 9 .", "15 11 15 19 .", "5 1 5 8 .")])
    keys = task.symmetry_keys(rows, rows)
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5 . . . .", "then one or more numbers"),
        ("5 3 2 . .", "numbers that rise"),
        ("5 3 3 . .", "numbers that rise"),
        ("5 3 . 4 .", "one or more numbers, and"),
        ("5 3 - . .", r"\. after the last"),
    ],
)
def test_what_is_no_puzzle_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        made(values=30, length=[3, 3], beyond=4).parse(text)
