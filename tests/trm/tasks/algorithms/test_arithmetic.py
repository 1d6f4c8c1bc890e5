from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trm.errors import UserError
from trm.tasks.algorithms.arithmetic import ArithmeticConfig
from trm.tasks.base import Task

SIZES: dict[str, Any] = {
    "train_examples": 150,
    "valid_examples": 15,
    "test_examples": 15,
    "beyond_examples": 30,
}


def made(**keys: Any) -> Task:
    return ArithmeticConfig.model_validate({**SIZES, **keys}).build()


def number(words: list[str], base: int, most_first: bool) -> int:
    digits = [word.strip("[]") for word in words if word.strip("[]") != "."]
    return int("".join(digits if most_first else reversed(digits)), base)


@pytest.mark.parametrize("order", ["least", "most"])
@pytest.mark.parametrize("intermediate", [False, True])
@pytest.mark.parametrize("base", [2, 10, 16])
@pytest.mark.parametrize("operation", ["addition", "multiplication"])
def test_results_are_python_s(operation: str, base: int, intermediate: bool, order: str) -> None:
    task = made(operation=operation, base=base, intermediate=intermediate, order=order,
                size=[2, 4], beyond=6, train_examples=25, valid_examples=5,
                test_examples=5)  # fmt: skip
    assert task.beyond is not None
    most = order == "most"
    for split in (task.split("train"), task.beyond):
        for row, label, size in zip(split.inputs, split.labels, split.difficulty, strict=True):
            given = [line.split() for line in task.show(row).splitlines()]
            a, b = (number(line, base, most) for line in given[:2])
            lengths = [sum(word != "." for word in line) for line in given[:2]]
            assert max(lengths) == size
            shown = [line.split() for line in task.show(label, row).splitlines()]
            result = number(shown[-1], base, most)
            assert result == (a + b if operation == "addition" else a * b)
            if intermediate and operation == "multiplication":
                digits = [w.strip("[]") for w in shown[1]]
                for place, part in enumerate(shown[2:-1]):
                    if place >= lengths[1]:
                        assert set(part) == {"."}
                        continue
                    digit = int((digits[::-1] if most else digits)[place], base)
                    assert number(part, base, most) == a * digit
            if intermediate and operation == "addition":
                carries = [w.strip("[]") for w in (shown[2][::-1] if most else shown[2])]
                for place in range(size.astype(int) + 1):
                    below = base**place
                    assert int(carries[place]) == (a % below + b % below) // below


@pytest.mark.parametrize("intermediate", [False, True])
@pytest.mark.parametrize("modulus", [2, 10, 97])
def test_chains_are_worked_out_from_the_left(modulus: int, intermediate: bool) -> None:
    task = made(operation="chain", modulus=modulus, intermediate=intermediate, size=[3, 5],
                beyond=8)  # fmt: skip
    assert task.beyond is not None
    for split in (task.split("train"), task.beyond):
        for row, label, terms in zip(split.inputs, split.labels, split.difficulty, strict=True):
            signs, numbers, _ = (line.split() for line in task.show(row).splitlines())
            shown = task.show(label, row).splitlines()[2].split()
            value, count = int(numbers[0]) % modulus, int(terms)
            for place in range(count):
                if place:
                    value = eval(f"(value {signs[place]} {numbers[place]}) % {modulus}")
                asked = intermediate or place == count - 1
                assert shown[place] == (f"[{value}]" if asked else ".")
            assert set(shown[count:]) <= {"."}


def test_the_two_numbers_may_be_swapped() -> None:
    task = made(augment=True, size=[2, 3], beyond=4)
    puzzles = [("1 2 . . .", "3 . . . ."), ("3 . . . .", "1 2 . . ."), ("2 1 . . .", "3 . . . .")]
    rows = np.stack([task.parse(f"{a} {b} ? ? ? . .") for a, b in puzzles])
    keys = task.symmetry_keys(rows, rows)
    assert keys[0] == keys[1] != keys[2]
    first = np.repeat(rows[:1], 50, axis=0)
    moved, _ = task.augment(first, first, np.random.default_rng(0))
    assert {row.tobytes() for row in moved} == {rows[0].tobytes(), rows[1].tobytes()}


def test_a_chain_has_no_symmetry() -> None:
    with pytest.raises(ValueError, match="augment true: a chain has no symmetry"):
        ArithmeticConfig(operation="chain", augment=True)


@pytest.mark.parametrize(
    ("operation", "text", "message"),
    [
        ("addition", ". . . 1 . . ? ? .", "a number of 1 to 2 digits"),
        ("addition", "1 . 2 1 . . ? ? .", "digits and its [?] where they stand in"),
        ("addition", "1 2 . 1 . . ? ? .", "digits and its [?] where they stand in"),
        ("chain", ". . 1 1 . ?", "above each number but the first"),
        ("chain", ". . . . . ?", "one or more numbers"),
        ("chain", ". + 1 1 ? ?", "below the last number"),
    ],
)
def test_what_is_no_puzzle_is_refused(operation: str, text: str, message: str) -> None:
    task = made(operation=operation, size=[1, 1], beyond=2, train_examples=3, valid_examples=1,
                test_examples=1)  # fmt: skip
    with pytest.raises(UserError, match=message):
        task.parse(text)
