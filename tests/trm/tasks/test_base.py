"""What a task need not write: how a person reads and writes its puzzles."""

from __future__ import annotations

import numpy as np
import pytest

from trm.errors import UserError
from trm.tasks.base import Split, SplitName, Task, Tokens


class Letters(Task):
    name, vocab_size, seq_len, grid_shape, symbols = "letters", 3, 4, (2, 2), "abc"

    def split(self, name: SplitName) -> Split:
        raise NotImplementedError

    def verify(self, inputs: Tokens, answers: Tokens) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return np.asarray((inputs == answers).all(axis=1))


class Numbers(Letters):
    name, vocab_size, symbols = "numbers", 12, ""


@pytest.mark.parametrize(
    ("task", "text", "tokens", "shown"),
    [
        (Letters(), "abca", [0, 1, 2, 0], "ab\nca"),
        (Letters(), " ab\n\tca\r\n", [0, 1, 2, 0], "ab\nca"),
        (Numbers(), "0 11\n2 3", [0, 11, 2, 3], "0 11\n2 3"),
    ],
)
def test_a_puzzle_is_read_and_shown(task: Task, text: str, tokens: list[int], shown: str) -> None:
    read = task.parse(text)
    assert read.dtype == np.int32
    assert read.tolist() == tokens
    assert task.show(read) == shown
    assert task.parse(shown).tolist() == tokens
    assert task.unknown(read[None]).all()


@pytest.mark.parametrize(
    ("task", "text", "line"),
    [
        (Letters(), "abc", "needs 4 characters of abc, row by row"),
        (Letters(), "abcd", "needs 4 characters of abc"),
        (Letters(), "", "needs 4 characters of abc"),
        (Numbers(), "0 12 2 3", "needs 4 numbers below 12"),
        (Numbers(), "01123", "needs 4 numbers below 12"),
        (Numbers(), "0 -1 2 3", "needs 4 numbers below 12"),
    ],
)
def test_what_is_no_puzzle_is_one_line(task: Task, text: str, line: str) -> None:
    with pytest.raises(UserError, match=line):
        task.parse(text)
