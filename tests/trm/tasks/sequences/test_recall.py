from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trm.errors import UserError
from trm.tasks.base import Task
from trm.tasks.sequences.recall import RecallConfig

SIZES: dict[str, Any] = {
    "train_examples": 200,
    "valid_examples": 20,
    "test_examples": 20,
    "beyond_examples": 30,
}


def made(**keys: Any) -> Task:
    return RecallConfig.model_validate({**SIZES, **keys}).build()


@pytest.mark.parametrize("queries", [1, 3])
def test_answers_are_what_a_dictionary_says(queries: int) -> None:
    task = made(queries=queries, keys=12, values=30, pairs=[1, 5], beyond=9)
    assert task.beyond is not None
    for split in (task.split("train"), task.beyond):
        for row, label, pairs in zip(split.inputs, split.labels, split.difficulty, strict=True):
            keys, values = (line.split() for line in task.show(row).splitlines())
            known = {k: v for k, v in zip(keys, values, strict=True) if v not in (".", "?")}
            assert len(known) == pairs
            asked = [k for k, v in zip(keys, values, strict=True) if v == "?"]
            assert len(asked) == queries
            shown = task.show(label, row).splitlines()[1].split()
            assert shown[-queries:] == [f"[{known[key]}]" for key in asked]


def test_the_order_of_pairs_is_the_symmetry() -> None:
    task = made(pairs=[3, 3], beyond=4)
    one, other, third = (
        task.parse(text)
        for text in ("a c b . a 1 2 3 . ?", "b a c . a 3 1 2 . ?", "a c b . c 1 2 3 . ?")
    )
    keys = task.symmetry_keys(*2 * (np.stack([one, other, third]),))
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (". . . . a . . . . ?", "one or more keys"),
        ("a a b . a 1 2 3 . ?", "each once"),
        ("a c b . d 1 2 3 . ?", "asks for a key that no pair has"),
        ("a c b . a 1 2 3 . 1", r"needs \? below"),
        ("a c b . a 1 2 3 4 ?", r"needs \. between"),
        ("a c b . a 1 . 3 . ?", "each with a value"),
    ],
)
def test_what_is_no_puzzle_is_refused(text: str, message: str) -> None:
    task = made(pairs=[3, 3], beyond=4)
    with pytest.raises(UserError, match=message):
        task.parse(text)
