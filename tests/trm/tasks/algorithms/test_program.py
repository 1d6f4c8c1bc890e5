"""Programs from examples, against an interpreter in plain Python and a search of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from trm.errors import UserError
from trm.tasks.algorithms.program import WORDS, ProgramConfig
from trm.testing.tasks import check_task

PLAIN: dict[str, Callable[[list[int]], list[int]]] = {
    "reverse": lambda x: x[::-1],
    "sort": sorted,
    "rotate": lambda x: x[1:] + x[:1],
    "inc": lambda x: [(d + 1) % 10 for d in x],
    "double": lambda x: [(d + d) % 10 for d in x],
    "half": lambda x: [d // 2 for d in x],
    "negate": lambda x: [9 - d for d in x],
    "square": lambda x: [d * d % 10 for d in x],
    "sums": lambda x: [sum(x[: n + 1]) % 10 for n in range(len(x))],
    "peaks": lambda x: [max(x[: n + 1]) for n in range(len(x))],
    "steps": lambda x: [(d - (x[n - 1] if n else 0)) % 10 for n, d in enumerate(x)],
    "evens": lambda x: [0 if d % 2 else d for d in x],
}
SMALL = {
    "train_examples": 60, "valid_examples": 12, "test_examples": 12, "beyond_examples": 12,
}  # fmt: skip


def run(program: tuple[str, ...], given: list[int]) -> list[int]:
    for word in program:
        given = PLAIN[word](given)
    return given


def test_the_contract() -> None:
    check_task(ProgramConfig(**SMALL, augment=True))
    check_task(ProgramConfig(**SMALL, examples=2, width=3, steps=[2, 2], beyond=None))


def test_each_word_does_what_it_says() -> None:
    rng = np.random.default_rng(0)
    assert WORDS.keys() == PLAIN.keys()
    for word, function in WORDS.items():
        for width in (1, 4, 7):
            given = rng.integers(10, size=(20, width)).astype(np.int32)
            assert function(given).tolist() == [PLAIN[word](row) for row in given.tolist()], word


def test_labels_are_the_first_shortest_programs_and_difficulty_their_length() -> None:
    task = ProgramConfig(**SMALL).build()
    beyond = task.beyond
    assert beyond is not None
    for split, count in ((task.split("train"), 40), (beyond, 6)):
        for row in range(count):
            lines = [line.split() for line in task.show(split.inputs[row]).split("\n")[:-1]]
            pairs = [([int(d) for d in line[:4]], [int(d) for d in line[4:]]) for line in lines]
            shortest = next(
                program
                for length in (1, 2, 3)
                for program in itertools.product(PLAIN, repeat=length)
                if all(run(program, given) == made for given, made in pairs)
            )
            shown = task.show(split.labels[row], split.inputs[row]).split("\n")[-1].split()
            words = [word.strip("[]") for word in shown if word.startswith("[")]
            assert words == [*shortest, *["end"] * (3 - len(shortest))]
            assert split.difficulty[row] == len(shortest)


def test_every_program_that_does_it_is_right_and_no_other() -> None:
    task = ProgramConfig(**SMALL, examples=1, width=2, steps=[1, 2], beyond=None).build()
    valid = task.split("valid")
    known = {word: token for token, word in enumerate(task.words)}  # type: ignore[attr-defined]
    tried = [
        program
        for length in (1, 2)
        for program in itertools.product((*PLAIN, "end"), repeat=2)
        if length == 2
    ]
    for row in range(6):
        cells = task.show(valid.inputs[row]).split()
        given, made = [[int(d) for d in cells[k : k + 2]] for k in (0, 2)]
        answers = np.tile(valid.inputs[row], (len(tried), 1))
        answers[:, 4:6] = [[known[word] for word in program] for program in tried]
        said = task.verify(valid.inputs[[row] * len(tried)], answers.astype(np.int32))
        for program, right in zip(tried, said, strict=True):
            first, _ = program
            whole = first != "end"
            does = whole and run(tuple(w for w in program if w != "end"), given) == made
            assert right == does, (program, given, made)
        assert said.any()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 2 3 4", "has 4 words, needs 2 rows of 4"),
        ("1 2 2 1 ? ? ? ?", "needs ? ? . . as its last row"),
        ("1 2 ? 1 ? ? . .", "needs digits in the first 1 rows"),
        ("0 0 0 7 ? ? . .", "no program of at most 2 words does that"),
    ],
)
def test_what_is_no_puzzle_is_a_line(text: str, words: str) -> None:
    task = ProgramConfig(**SMALL, examples=1, width=2, steps=[1, 2], beyond=None).build()
    assert task.parse("1 2 2 1 ? ? . .").shape == (8,)
    with pytest.raises(UserError) as caught:
        task.parse(text)
    assert words in str(caught.value)
