from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from trm.errors import UserError
from trm.tasks.base import Task
from trm.tasks.constraints.colouring import ColouringConfig

SIZES: dict[str, Any] = {
    "train_examples": 40, "valid_examples": 10, "test_examples": 10, "beyond_examples": 10
}  # fmt: skip


def made(**keys: Any) -> Task:
    return ColouringConfig.model_validate({**SIZES, **keys}).build()


def proper(cells: tuple[int, ...], size: int) -> bool:
    """Cell by cell."""
    for at, colour in enumerate(cells):
        row, column = divmod(at, size)
        if column + 1 < size and cells[at + 1] == colour:
            return False
        if row + 1 < size and cells[at + size] == colour:
            return False
    return True


@pytest.mark.parametrize(("size", "colours", "most"), [(3, 3, 6), (4, 3, 5), (3, 4, 5)])
def test_every_completion_is_right_and_nothing_else(size: int, colours: int, most: int) -> None:
    task = made(size=size, colours=colours, open=[3, most], beyond=most + 1)
    assert task.beyond is not None
    several = 0
    for split in (task.split("train"), task.beyond):
        for row, label, count in zip(split.inputs, split.labels, split.difficulty, strict=True):
            cells = np.flatnonzero(row == 1)
            assert len(cells) == count
            fills = list(product(range(2, 2 + colours), repeat=len(cells)))
            answers = np.repeat(row[None], len(fills), axis=0)
            answers[:, cells] = np.array(fills)
            right = [proper(tuple(answer), size) for answer in answers.tolist()]
            inputs = np.repeat(row[None], len(fills), axis=0)
            assert task.verify(inputs, answers).tolist() == right
            assert np.array_equal(label, answers[right.index(True)])
            several += sum(right) > 1
    assert several > 5


def test_what_is_given_is_to_be_kept() -> None:
    task = made(size=3, open=[3, 4], beyond=5)
    split = task.split("train")
    renamed = np.where(split.labels >= 2, (split.labels - 1) % 3 + 2, split.labels)
    assert not task.verify(split.inputs, renamed.astype(np.int32)).any()
    assert task.verify(np.ones_like(renamed), renamed.astype(np.int32)).all()


def test_turns_and_renamings_are_the_symmetries() -> None:
    task = made(size=3, open=[3, 5], beyond=6, augment=True)
    row = task.parse("a b . b . c . . a")
    rows = np.stack([task.parse(text) for text in
                     (". b a . . b a c .", "c b . b . a . . c", "a c . c . b . . a")])  # fmt: skip
    keys = task.symmetry_keys(rows, rows)
    assert set(keys) == set(task.symmetry_keys(row[None], row[None]))
    many = np.repeat(row[None], 2000, axis=0)
    moved, labels = task.augment(many, task.split("train").labels[:1].repeat(2000, 0),
                                 np.random.default_rng(0))  # fmt: skip
    assert len({image.tobytes() for image in moved}) == 48
    assert len(labels) == 2000


@pytest.mark.parametrize("text", ["a a . . . . . . .", "a . b . . . . . . c", ". a . b . c . . ."])
def test_what_is_no_puzzle_is_refused(text: str) -> None:
    task = made(size=3, open=[3, 4], beyond=5)
    with pytest.raises(UserError, match=r"has no solution|has 10 words"):
        task.parse(text)
