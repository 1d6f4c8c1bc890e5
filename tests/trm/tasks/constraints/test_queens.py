from __future__ import annotations

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest

from trm.errors import UserError
from trm.tasks.base import Task
from trm.tasks.constraints.queens import QueensConfig, solutions

SIZES: dict[str, Any] = {
    "train_examples": 60, "valid_examples": 10, "test_examples": 10, "beyond_examples": 20
}  # fmt: skip


def made(**keys: Any) -> Task:
    return QueensConfig.model_validate({**SIZES, **keys}).build()


def calm(queens: list[tuple[int, int]]) -> bool:
    """Whether no two attack each other, pair by pair."""
    return not any(
        a != b and (a[0] == b[0] or a[1] == b[1] or abs(a[0] - b[0]) == abs(a[1] - b[1]))
        for a, b in product(queens, queens)
    )


def by_hand(size: int) -> list[list[int]]:
    return [list(p) for p in permutations(range(size)) if calm(list(enumerate(p)))]


@pytest.mark.parametrize("size", [4, 5, 6, 7])
def test_all_solutions_are_found_in_order(size: int) -> None:
    assert list(solutions(size)) == by_hand(size)


def test_every_completion_is_right_and_nothing_else() -> None:
    task = made(size=7, place=[2, 5], beyond=6)
    assert task.beyond is not None
    every = by_hand(7)
    several = 0
    for split in (task.split("train"), task.beyond):
        for row, label, missing in zip(split.inputs, split.labels, split.difficulty, strict=True):
            given = [divmod(cell, 7) for cell in np.flatnonzero(row == 2).tolist()]
            assert len(given) == 7 - missing
            right = [s for s in every if all(s[r] == c for r, c in given)]
            several += len(right) > 1
            boards = np.full((len(every), 7, 7), 3, dtype=np.int32)
            for board, solution in zip(boards, every, strict=True):
                board[np.arange(7), solution] = 2
            rows = np.repeat(row[None], len(every), axis=0)
            accepted = task.verify(rows, boards.reshape(len(every), -1))
            assert accepted.tolist() == [s in right for s in every]
            assert np.flatnonzero(label == 2).tolist() == [
                7 * r + c for r, c in enumerate(right[0])
            ]
    assert several > 10


def test_attacks_missing_and_unknown_cells_are_refused() -> None:
    task = made(size=5, place=[3, 4], beyond=5, train_examples=5, valid_examples=2,
                test_examples=2)  # fmt: skip
    rng = np.random.default_rng(0)
    empty = np.ones((3000, 25), dtype=np.int32)
    answers = np.where(rng.random((3000, 25)) < 0.2, 2, 3).astype(np.int32)
    answers[:1000] = 3
    for board in answers[:1000].reshape(-1, 5, 5):
        board[np.arange(5), rng.permutation(5)] = 2
    wanted = [
        len(queens) == 5 and calm(queens)
        for queens in ([divmod(c, 5) for c in np.flatnonzero(a == 2).tolist()] for a in answers)
    ]
    assert task.verify(empty, answers).tolist() == wanted
    assert any(wanted)
    answers[:, 0] = np.where(answers[:, 0] == 3, 1, answers[:, 0])
    assert not task.verify(empty, answers)[answers[:, 0] == 1].any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Q . . . . Q " + ". " * 19, "attack each other"),
        ("Q Q . . . " + ". " * 20, "attack each other"),
        ("Q - . . . " + ". " * 20, "needs Q or ."),
    ],
)
def test_what_is_no_puzzle_is_refused(text: str, message: str) -> None:
    task = made(size=5, place=[3, 4], beyond=5, train_examples=5, valid_examples=2,
                test_examples=2)  # fmt: skip
    with pytest.raises(UserError, match=message):
        task.parse(text)
