from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trm.config import experiment_from
from trm.data import Examples, ExampleStream
from trm.tasks.base import Task

SIZE = 23


@pytest.fixture(scope="module")
def tasks(tiny: Callable[..., dict[str, Any]], cache: Path) -> dict[bool, Task]:
    """The tiny task without and with augmentation."""
    tree = {"task.train_examples": SIZE}
    return {
        augment: experiment_from(tiny({**tree, "task.augment": augment})).task.build(cache)
        for augment in (False, True)
    }


def stream(task: Task, seed: int = 0) -> ExampleStream:
    return ExampleStream(task, seed)


def rows(examples: Examples) -> list[bytes]:
    return [row.tobytes() for row in examples.inputs]


def same(one: Examples, other: Examples) -> bool:
    return (
        np.array_equal(one.inputs, other.inputs)
        and np.array_equal(one.labels, other.labels)
        and np.array_equal(one.puzzle_identifiers, other.puzzle_identifiers)
    )


@pytest.mark.parametrize("chunk", [1, 5, SIZE, SIZE + 4, 3 * SIZE])
def test_every_example_comes_once_an_epoch(tasks: dict[bool, Task], chunk: int) -> None:
    source = stream(tasks[False])
    everything = sorted(row.tobytes() for row in tasks[False].split("train").inputs)
    taken: list[bytes] = []
    while len(taken) < 3 * SIZE:
        taken += rows(source.take(chunk))
    epochs = [taken[i * SIZE : (i + 1) * SIZE] for i in range(3)]
    assert all(sorted(epoch) == everything for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_labels_belong_to_their_inputs(tasks: dict[bool, Task]) -> None:
    for task in tasks.values():
        examples = stream(task).take(60)
        assert task.verify(examples.inputs, examples.labels).all()
        assert examples.inputs.shape == examples.labels.shape == (60, task.seq_len)
        assert examples.puzzle_identifiers.shape == (60,)


def test_the_order_depends_on_the_seed_alone(tasks: dict[bool, Task]) -> None:
    for task in tasks.values():
        first, again, other = (stream(task, seed).take(40) for seed in (0, 0, 1))
        assert same(first, again)
        assert not same(first, other)


def test_chunks_do_not_matter(tasks: dict[bool, Task]) -> None:
    whole, parts = stream(tasks[False]), stream(tasks[False])
    for sizes in ([3, 4], [1, 20, 30], [SIZE, SIZE, 1]):
        taken = whole.take(sum(sizes))
        assert rows(taken) == [row for size in sizes for row in rows(parts.take(size))]


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("position", [0, 1, SIZE - 1, SIZE, SIZE + 1, 5 * SIZE + 7])
def test_it_goes_on_at_any_position(tasks: dict[bool, Task], augment: bool, position: int) -> None:
    source = stream(tasks[augment])
    if position:
        source.take(position)
    state = json.loads(json.dumps(source.state_dict()))
    rest = [source.take(9), source.take(SIZE)]
    resumed = stream(tasks[augment])
    resumed.take(2)  # whatever it did before
    resumed.load_state_dict(state)
    assert all(same(one, resumed.take(len(one.inputs))) for one in rest)
    assert resumed.drawn == source.drawn


def test_augmentation_changes_examples_and_keeps_them_right(tasks: dict[bool, Task]) -> None:
    plain, changed = stream(tasks[False]).take(200), stream(tasks[True]).take(200)
    moved = (plain.inputs != changed.inputs).any(axis=1)
    assert 0.5 < moved.mean() < 1.0
    epochs = [changed.inputs[i * SIZE : (i + 1) * SIZE] for i in range(2)]
    assert {row.tobytes() for row in epochs[0]} != {row.tobytes() for row in epochs[1]}


def test_the_split_itself_is_left_alone(tasks: dict[bool, Task]) -> None:
    task = tasks[True]
    before = task.split("train").inputs.copy()
    examples = stream(task).take(50)
    examples.inputs[:] = 0
    assert np.array_equal(task.split("train").inputs, before)
