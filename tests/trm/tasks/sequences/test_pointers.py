from __future__ import annotations

import numpy as np
import pytest

from trm.errors import UserError
from trm.tasks.sequences.pointers import PointersConfig

SIZES = {"train_examples": 200, "valid_examples": 20, "test_examples": 20}


@pytest.mark.parametrize("targets", ["last", "path"])
@pytest.mark.parametrize("shape", ["cycle", "permutation", "map"])
def test_answers_are_those_of_hopping_by_hand(shape: str, targets: str) -> None:
    section = {"shape": shape, "targets": targets, "cells": 6, "hops": [1, 4], "beyond": 6}
    task = PointersConfig.model_validate({**section, **SIZES}).build()
    assert task.beyond is not None
    for split in (task.split("train"), task.beyond):
        for row, label, hops in zip(split.inputs, split.labels, split.difficulty, strict=True):
            names, clock = (line.split() for line in task.show(row).splitlines())
            assert clock.count("@") == hops
            (here,) = (at + 1 for at, name in enumerate(names) if name.endswith("@"))
            wanted = ["[.]"] * 6
            for _ in clock[: clock.index(".")] if "." in clock else clock:
                wanted[here - 1] = "[o]" if targets == "path" else "[.]"
                here = int(names[here - 1].strip("@"))
            wanted[here - 1] = "[@]"
            assert task.show(label, row).splitlines()[0].split() == wanted


def test_a_cycle_comes_back_only_after_all_cells() -> None:
    task = PointersConfig(cells=5, hops=[1, 4], beyond=5, targets="last", train_examples=60,
 valid_examples=9, test_examples=9).build()  # fmt: skip
    assert task.beyond is not None
    starts = task.beyond.inputs >= 4 + 5
    assert np.array_equal(starts, task.beyond.labels == 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 3 1@ @ .", "has 5 words, needs 2 rows of 3"),
        ("2 3@ . @ . .", "a number from 1 to 3"),
        ("2@ 3@ 1 @ . .", "one number with an @"),
        ("2 3 1 @ . .", "one number with an @"),
        ("2 3@ 1 . @ .", "an @ for each hop"),
        ("2 3@ 4 @ . .", "'4' is no word"),
    ],
)
def test_what_is_no_puzzle_is_refused(text: str, message: str) -> None:
    task = PointersConfig(cells=3, shape="map", hops=[1, 2], beyond=None, train_examples=30,
                          valid_examples=3, test_examples=3).build()  # fmt: skip
    with pytest.raises(UserError, match=message):
        task.parse(text)
