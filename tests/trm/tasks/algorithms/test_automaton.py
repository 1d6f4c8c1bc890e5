from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trm.errors import UserError
from trm.tasks.algorithms.automaton import AutomatonConfig
from trm.tasks.base import Task

SIZES: dict[str, Any] = {
    "train_examples": 100,
    "valid_examples": 10,
    "test_examples": 10,
    "beyond_examples": 30,
}


def made(**keys: Any) -> Task:
    return AutomatonConfig.model_validate({"width": 11, **SIZES, **keys}).build()


def run(ring: str, rule: int, steps: int) -> str:
    """By the table of the rule, as its number in binary is read."""
    table = {f"{k:03b}": f"{rule:08b}"[7 - k] for k in range(8)}
    for _ in range(steps):
        wide = ring[-1] + ring + ring[0]
        ring = "".join(table[wide[k : k + 3]] for k in range(len(ring)))
    return ring


@pytest.mark.parametrize("rule", [30, 90, 110, 184])
def test_answers_are_those_of_the_table(rule: int) -> None:
    task = made(rule=rule, steps=[1, 4], beyond=7)
    assert task.beyond is not None
    for split in (task.split("train"), task.beyond):
        for row, label, steps in zip(split.inputs, split.labels, split.difficulty, strict=True):
            ring, clock = task.show(row).splitlines()
            assert clock.count("@") == steps
            wanted = run(ring.replace(" ", ""), rule, int(steps))
            assert task.show(label, row).splitlines()[0].split() == [f"[{cell}]" for cell in wanted]


@pytest.mark.parametrize(("rule", "mirrors"), [(110, False), (30, False), (90, True), (150, True)])
def test_rotations_are_symmetries_and_reflections_where_the_rule_has_them(
    rule: int, mirrors: bool
) -> None:
    task = made(rule=rule, augment=True)
    ring, clock = "00010110111", "@@........."
    images = [ring[k:] + ring[:k] for k in range(11)]
    turned = [image[::-1] for image in images]
    rows = np.stack([task.parse(" ".join(image + clock)) for image in images + turned])
    keys = task.symmetry_keys(rows, rows)
    assert len(set(keys)) == (1 if mirrors else 2)
    assert len(set(keys[:11])) == 1
    rng = np.random.default_rng(0)
    first = np.repeat(rows[:1], 400, axis=0)
    moved, labels = task.augment(first, first, rng)
    seen = {task.show(row).splitlines()[0].replace(" ", "") for row in moved}
    assert seen == set(images + turned if mirrors else images)
    assert task.verify(moved, labels).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1 @ @ . .", "needs 0 or 1 in each"),
        ("0 1 1 . @ .", "an @ for each step"),
        ("0 1 1 . . .", "an @ for each step"),
    ],
)
def test_what_is_no_puzzle_is_refused(text: str, message: str) -> None:
    task = made(width=3, steps=[1, 1], beyond=2, train_examples=1, valid_examples=1,
                test_examples=1)  # fmt: skip
    with pytest.raises(UserError, match=message):
        task.parse(text)
