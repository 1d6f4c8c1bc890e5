"""Mixtures that are refused, and tasks that declare little of themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.mixtures import LARGE, SMALL, SUDOKU, config
from trm.errors import UserError
from trm.tasks.base import Split, SplitName, Task
from trm.tasks.mixture import MixtureTask


def refused(tasks: Any) -> str:
    with pytest.raises(UserError) as error:
        config(tasks).build()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([SMALL, LARGE], "task.tasks: [{"),
        ({}, "task.tasks: holds 0 task(s): give two or more, or no mixture"),
        ({"a": SMALL}, "task.tasks: holds 1 task(s): give two or more"),
        (
            {"a": SMALL, "b": {"name": "arows"}},
            "task.tasks.b.name: unknown name 'arows': did you mean arrows, arc?",
        ),
        ({"a": SMALL, "b": {"size": 4}}, "task.tasks.b: needs a `name`; known: arrows, sudoku"),
        ({"a": SMALL, "b": None}, "task.tasks.b: null must be a section with a `name`"),
        ({"a": SMALL, "b": {**LARGE, "size": 40}}, "task.tasks.b.size: 40 must be at most 12"),
        ({"a": SMALL, "b": {**LARGE, "sise": 4}}, "task.tasks.b.sise: unknown key: did you mean"),
        (
            {"a": SMALL, "b": {"name": "mixture", "tasks": {}}},
            "task.tasks.b: a mixture cannot hold a mixture: list its tasks here instead",
        ),
        ({"a": SMALL, "b": "mixture"}, "task.tasks.b: a mixture cannot hold a mixture"),
        (
            {"a": SMALL, "b": {**SMALL, "augment": True}},
            "task.tasks.b: its puzzles look like those of a but differ in augment",
        ),
        (
            {"a": SMALL, "b": {**SUDOKU, "blanks": 1, "train_examples": 5965}},
            "task.tasks.b.blanks: [1, 1] gives ",
        ),
    ],
)
def test_bad_config_is_one_line_with_the_whole_path(tasks: Any, message: str) -> None:
    assert refused(tasks).startswith(message)


class Foreign(Task):
    """A task as a plug-in might have it, with data that a test chooses."""

    name = "foreign"
    vocab_size = 5

    def __init__(self, inputs: Any, grid: tuple[int, int] | None = None, label: int = 1) -> None:
        tokens = np.array(inputs, dtype=np.int32)
        self.seq_len = tokens.shape[1]
        self.grid_shape = grid or (1, self.seq_len)
        self._split = Split(
            tokens, np.full_like(tokens, label), np.zeros(len(tokens), dtype=np.float32),
            np.zeros(len(tokens), dtype=np.int32),
        )  # fmt: skip

    def split(self, name: SplitName) -> Split:
        return self._split

    def verify(self, inputs: Any, answers: Any) -> Any:
        return (answers == 1).all(axis=1)

    def unknown(self, inputs: Any) -> Any:
        return inputs == 2

    def parse(self, text: str) -> Any:
        raise UserError("puzzle", text, "cannot be parsed")

    def show(self, tokens: Any, given: Any = None) -> str:
        return " ".join(map(str, tokens))

    @property
    def data_hash(self) -> str:
        return ""


class Related(Foreign):
    vocabulary = "related"


def test_a_task_that_declares_no_vocabulary_shares_no_tokens() -> None:
    task = MixtureTask({"a": Foreign([[1, 2, 3]]), "b": Foreign([[1, 0, 3]])})
    assert task.vocab_size == 9
    inputs = task.split("train").inputs
    assert inputs.tolist() == [[1, 2, 3], [5, 0, 7]]
    assert task.verify(inputs, np.array([[1, 1, 1], [5, 5, 5]])).tolist() == [True, True]
    assert task.verify(inputs, np.array([[5, 5, 5], [1, 1, 1]])).tolist() == [False, False]


def test_tasks_that_are_no_grids_share_a_line() -> None:
    task = MixtureTask({"a": Foreign([[1, 2, 3, 4]], (2, 2)), "b": Foreign([[1, 2, 3]], (1, 2))})
    assert (task.seq_len, task.grid_shape) == (4, (2, 2))
    assert task.split("train").inputs.tolist() == [[1, 2, 3, 4], [5, 6, 7, 0]]
    assert [task.show(row) for row in task.split("train").inputs] == ["1 2 3 4", "1 2 3"]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (
            {"a": Related([[1] * 6], (2, 3)), "b": Related([[1] * 6], (3, 2))},
            "task.tasks.b: its puzzles look like those of a but differ in size",
        ),
        (
            {"a": Related([[1, 2]]), "b": Related([[1, 2, 0]])},
            "task.tasks.b: its data holds the token 0, which is padding",
        ),
        (
            {"a": Foreign([[1, 2]]), "b": Foreign([[1, 2]], label=0)},
            "task.tasks.b: its data holds the token 0, which is padding",
        ),
    ],
)
def test_tasks_that_cannot_be_told_apart_are_refused(tasks: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        MixtureTask(tasks)
    assert str(error.value).startswith(message)
