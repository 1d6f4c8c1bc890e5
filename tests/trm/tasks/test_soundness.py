"""What is wrong with a task's data is one line that names it, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trm.fault import Fault
from trm.tasks.arrows import ArrowsConfig, ArrowsTask
from trm.tasks.base import IGNORE, Split, Task, Tokens
from trm.tasks.soundness import require_sound_task

Change = Callable[[Split], Split]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> ArrowsTask:
    config = ArrowsConfig(size=3, visited=[2, 4], train_examples=80, valid_examples=20,
                          test_examples=20, augment=True)  # fmt: skip
    task = config.build(tmp_path_factory.mktemp("data"))
    assert isinstance(task, ArrowsTask)
    require_sound_task(task)
    return task


def complaint(task: Task) -> str:
    with pytest.raises(Fault) as error:
        require_sound_task(task)
    text = str(error.value)
    assert text.startswith("task 'arrows'")
    assert "\n" not in text
    return text


def changed(task: ArrowsTask, change: Change, name: str = "valid") -> ArrowsTask:
    """The task with one split changed."""
    other = ArrowsTask.__new__(ArrowsTask)
    vars(other).update(vars(task))
    vars(other).pop("data_hash", None)
    splits: Any = {s: task.split(s) for s in ("train", "valid", "test")}  # type: ignore[arg-type]
    other._splits = {**splits, name: change(splits[name])}
    return other


def with_value(array: np.ndarray[Any, Any], value: float) -> Any:
    array = array.copy()
    array.flat[3] = value
    return array


DATA: dict[str, tuple[Change, str]] = {
    "int64 tokens": (
        lambda s: replace(s, inputs=s.inputs.astype(np.int64)),
        "valid.inputs: is int64: cast it to int32",
    ),
    "tokens that are floats": (
        lambda s: replace(s, labels=s.labels.astype(np.float32)),
        "valid.labels: is float32: cast it to int32",
    ),
    "a token too many": (
        lambda s: replace(s, inputs=with_value(s.inputs, 9)),
        "valid.inputs: hold tokens from 1 to 9: tokens lie in [0, 9), or raise vocab_size",
    ),
    "a label below 0": (
        lambda s: replace(s, labels=with_value(s.labels, -1)),
        "valid.labels: hold tokens from -1 to 8",
    ),
    "no label that counts": (
        lambda s: replace(s, labels=np.full_like(s.labels, IGNORE)),
        "valid.labels: hold an example without a cell that counts",
    ),
    "a difficulty that is NaN": (
        lambda s: replace(s, difficulty=with_value(s.difficulty, np.nan)),
        "valid.difficulty: holds numbers that are not finite",
    ),
    "difficulty in float64": (
        lambda s: replace(s, difficulty=s.difficulty.astype(np.float64)),
        "valid.difficulty: is float64: cast it to float32",
    ),
    "one difficulty too few": (
        lambda s: replace(s, difficulty=s.difficulty[1:]),
        "valid.difficulty: has the shape [19]: must be float32 [20]",
    ),
    "cells too few": (
        lambda s: replace(s, inputs=np.ascontiguousarray(s.inputs[:, 1:])),
        "valid.inputs: has the shape [20, 8]: must be int32 [20, 9]",
    ),
    "a list": (lambda s: replace(s, inputs=s.inputs.tolist()), "valid.inputs: is list: give NumPy"),
    "an identifier too many": (
        lambda s: replace(s, puzzle_identifiers=with_value(s.puzzle_identifiers, 1)),
        "valid.puzzle_identifiers: lie outside [0, 1)",
    ),
    "no example": (
        lambda s: Split(s.inputs[:0], s.labels[:0], s.difficulty[:0], s.puzzle_identifiers[:0]),
        "valid: holds no example",
    ),
    "no split": (lambda s: None, "valid: is NoneType: give a Split"),  # type: ignore[return-value]
    "wrong labels": (
        lambda s: replace(s, labels=np.roll(s.labels, 1, axis=0)),
        "valid: verify() refuses the labels of ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("crime", DATA)
def test_data(crime: str, sound: ArrowsTask) -> None:
    change, words = DATA[crime]
    assert words in complaint(changed(sound, change))


def test_the_same_examples_in_two_splits(sound: ArrowsTask) -> None:
    train, test = sound.split("train"), sound.split("test")
    text = complaint(changed(sound, lambda _: train, "test"))
    assert "80 puzzles of train are equal to ones of test: keep the splits apart" in text
    moved = sound.augment(test.inputs, test.labels, np.random.default_rng(1))
    turned = replace(test, inputs=moved[0], labels=moved[1])
    text = complaint(changed(sound, lambda _: turned, "valid"))
    assert "puzzles of valid are " in text


def test_what_is_beyond_the_trained_range_is_in_no_split(sound: ArrowsTask) -> None:
    class Reaching(ArrowsTask):
        beyond = sound.split("train")

    task = changed(sound, lambda split: split)
    task.__class__ = Reaching
    assert "puzzles of train are equal to ones of beyond" in complaint(task)


class Wrong(ArrowsTask):
    """Breaks one promise of a method."""

    crime = ""

    def augment(
        self, inputs: Tokens, labels: Tokens, rng: np.random.Generator
    ) -> tuple[Tokens, Tokens]:
        if self.crime == "destroys puzzles":
            return inputs, rng.permutation(labels, axis=1)
        if self.crime == "augments in place":
            inputs[:] = 1
        if self.crime == "gives int64":
            return inputs.astype(np.int64), labels  # type: ignore[return-value]
        if self.crime == "gives one array":
            return inputs  # type: ignore[return-value]
        return super().augment(inputs, labels, rng)

    def verify(self, inputs: Tokens, answers: Tokens) -> Any:
        found = super().verify(inputs, answers)
        if self.crime == "verifies with numbers":
            return found.astype(np.float32)
        return found.all() if self.crime == "verifies at once" else found

    def unknown(self, inputs: Tokens) -> Any:
        found = super().unknown(inputs)
        return found.any(axis=1) if self.crime == "knows rows" else found

    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        keys = super().symmetry_keys(inputs, labels)
        return [b"" for _ in keys] if self.crime == "keys alike" else keys

    @cached_property
    def data_hash(self) -> str:
        return "0" * 64 if self.crime == "hashes nothing" else ArrowsTask.data_hash.func(self)


@pytest.mark.parametrize(
    ("crime", "words"),
    [
        ("destroys puzzles", "augment(): destroys "),
        ("augments in place", "augment(): changes the arrays that it is given"),
        ("gives int64", "augment(): inputs: is int64"),
        ("gives one array", "augment(): does not give two arrays"),
        ("verifies with numbers", "verify() does not give a bool for each example"),
        ("verifies at once", "verify() does not give a bool for each example"),
        ("knows rows", "unknown() does not give a bool for each cell"),
        ("keys alike", "1 puzzles of train are symmetry-equivalent to ones of valid"),
        ("hashes nothing", "data_hash: is not the hash of its arrays"),
    ],
)
def test_methods(crime: str, words: str, sound: ArrowsTask) -> None:
    task = Wrong.__new__(Wrong)
    vars(task).update({**vars(sound), "crime": ""})
    vars(task).pop("data_hash", None)
    require_sound_task(task)
    vars(task).pop("data_hash", None)
    task.crime = crime
    assert words in complaint(task)


def test_a_task_that_fails_is_named(sound: ArrowsTask) -> None:
    task = changed(sound, lambda split: split)
    task.vocab_size = None  # type: ignore[assignment]
    text = complaint(task)
    assert text.startswith("task 'arrows': fails when its data is looked at (TypeError: ")


def test_the_check_is_cheap(tmp_path: Path) -> None:
    import time

    task = ArrowsConfig(size=5).build(tmp_path)
    begun = time.process_time()
    require_sound_task(task)
    assert time.process_time() - begun < 2.0
