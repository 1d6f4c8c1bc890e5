from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest

from trm.errors import UserError
from trm.tasks.base import IGNORE, Task
from trm.tasks.sequences.permutations import PermutationsConfig

SIZES: dict[str, Any] = {
    "train_examples": 200,
    "valid_examples": 20,
    "test_examples": 20,
    "beyond_examples": 30,
}


def made(**keys: Any) -> Task:
    return PermutationsConfig.model_validate(
        {"length": [2, 5], "beyond": 7, **SIZES, **keys}
    ).build()


def product(words: list[str]) -> str:
    """Where each thing is after the words, one after the other."""
    places = list(range(len(words[0])))
    for word in words:
        places = [int(word[place]) - 1 for place in places]
    return "".join(str(place + 1) for place in places)


@pytest.mark.parametrize("letters", ["all", "transpositions", "adjacent"])
@pytest.mark.parametrize("degree", [3, 5])
@pytest.mark.parametrize("targets", ["last", "prefixes"])
def test_answers_are_those_of_moving_things_by_hand(
    degree: int, letters: str, targets: str
) -> None:
    task = made(degree=degree, letters=letters, targets=targets, train_examples=20,
                valid_examples=3, test_examples=3)  # fmt: skip
    assert task.beyond is not None
    for split in (task.split("train"), task.beyond):
        for row, label, length in zip(split.inputs, split.labels, split.difficulty, strict=True):
            words = [word for word in task.show(row).split() if word != "."]
            assert len(words) == length
            for place in range(task.seq_len):
                asked = place == length - 1 if targets == "last" else place < length
                if not asked:
                    assert label[place] == IGNORE
                    continue
                assert task.show(label).split()[place] == product(words[: place + 1])


def letters_of(task: Task) -> set[str]:
    return {word for row in task.split("train").inputs for word in task.show(row).split()} - {"."}


def test_letters_are_those_that_were_asked_for() -> None:
    everything = {"".join(p) for p in permutations("12345")}
    assert letters_of(made(letters="all", train_examples=400)) == everything
    swaps = {w for w in everything if sum(a != b for a, b in zip(w, "12345", strict=True)) == 2}
    assert letters_of(made(letters="transpositions")) == swaps
    assert letters_of(made(letters="adjacent")) == {"21345", "13245", "12435", "12354"}


def test_renaming_the_things_is_the_symmetry() -> None:
    task = made(degree=4, augment=True)
    split = task.split("train")
    moved, labels = task.augment(split.inputs, split.labels, np.random.default_rng(0))
    keys = task.symmetry_keys(split.inputs, split.labels)
    assert task.symmetry_keys(moved, labels) == keys
    # All conjugates of one word, by hand, have its key, and other words have others.
    row = split.inputs[0]
    words = [word for word in task.show(row).split() if word != "."]
    images = set()
    for renaming in permutations("1234"):
        new = dict(zip("1234", renaming, strict=True))
        renamed = []
        for word in words:
            image = {new[str(k + 1)]: new[letter] for k, letter in enumerate(word)}
            renamed.append("".join(image[k] for k in "1234"))
        images.add(" ".join([*renamed, *["."] * (task.seq_len - len(words))]))
    rows = np.stack([task.parse(image) for image in images])
    assert set(task.symmetry_keys(rows, rows)) == {keys[0]}


def test_other_letters_are_refused() -> None:
    task = made(degree=3, letters="adjacent", train_examples=20, valid_examples=3, test_examples=3)
    assert len(task.parse("213 132 . . . . .")) == 7
    with pytest.raises(UserError, match="321 is none of the letters"):
        task.parse("213 321 . . . . .")
    with pytest.raises(UserError, match="one or more permutations, and then"):
        task.parse("213 . 132 . . . .")
