from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from curricula.stage import Slice
from trm.config import experiment_from
from trm.tasks.base import Split, Task
from trm.training import data
from trm.training.data import Examples, ExampleStream, places

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


# --- mixes -------------------------------------------------------------------------------------


class Numbered:
    """A task whose n-th training example holds n; `sources[i]` examples of source i."""

    def __init__(self, difficulty: list[float], sources: list[int] | None = None) -> None:
        size = len(difficulty)
        inputs = np.arange(size, dtype=np.int32)[:, None]
        self.train = Split(
            inputs, inputs, np.array(difficulty, np.float32), np.zeros(size, np.int32)
        )
        self.kinds = np.repeat(np.arange(len(sources or [0])), sources or [size]).astype(np.int32)

    def split(self, name: str) -> Split:
        assert name == "train"
        return self.train

    def epoch_order(self, rng: np.random.Generator) -> None:
        return None

    def source_of(self, name: str) -> NDArray[np.int32]:
        assert name == "train"
        return self.kinds

    def augment_rows(self, inputs: Any, labels: Any, rows: Any, rng: Any) -> tuple[Any, Any, Any]:
        return inputs, labels, rows


def numbered(size: int, sources: list[int] | None = None, seed: int = 0) -> ExampleStream:
    """Examples 0, 1, ... from the easiest to the hardest."""
    return ExampleStream(Numbered([float(i) for i in range(size)], sources), seed)  # type: ignore[arg-type]


def numbers(examples: Examples) -> list[int]:
    return [int(value) for value in examples.inputs[:, 0]]


def assert_frequencies(taken: list[int], expected: list[float]) -> None:
    """Within 5 standard deviations, and never where nothing is expected."""
    counts = np.bincount(taken, minlength=len(expected))
    shares = np.array(expected) / sum(expected)
    spread = np.sqrt(len(taken) * shares * (1 - shares))
    assert (np.abs(counts - len(taken) * shares) <= 5 * spread).all(), counts.tolist()


TWO_SLICES = (Slice(0.2, 0.5, 1.0), Slice(0.7, 0.8, 3.0))


@pytest.mark.parametrize("seed", range(3))
def test_slices_are_drawn_from_by_their_weights(seed: int) -> None:
    expected = [0.0] * 20 + [1 / 30] * 30 + [0.0] * 20 + [3 / 10] * 10 + [0.0] * 20
    examples = numbered(100, seed=seed).take(4000, TWO_SLICES)
    assert_frequencies(numbers(examples), expected)
    assert np.allclose(examples.difficulty, examples.inputs[:, 0] / 100)


def test_an_example_across_the_edge_of_a_slice_counts_in_part() -> None:
    taken = numbers(numbered(7).take(4000, (Slice(0.0, 0.5),)))
    assert_frequencies(taken, [2, 2, 2, 1, 0, 0, 0])
    both = numbers(numbered(5).take(4000, (Slice(0.0, 0.5, 3.0), Slice(0.5, 1.0, 1.0))))
    assert_frequencies(both, [6, 6, 4, 2, 2])


def test_an_epoch_has_every_example_of_those_most_wanted() -> None:
    source = numbered(100)
    epochs: dict[int, set[int]] = {}
    while source.drawn < 500:
        (number,) = numbers(source.take(1, TWO_SLICES))
        epochs.setdefault((source.drawn - 1) // 100, set()).add(number)
    assert all(set(range(70, 80)) <= epochs[epoch] for epoch in range(4))


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 2.0), (1e-3, 1e3)])
def test_weights_may_be_0_or_of_any_size(weights: tuple[float, float]) -> None:
    slices = (Slice(0.0, 0.5, weights[0]), Slice(0.5, 1.0, weights[1]))
    taken = numbers(numbered(10).take(2000, slices))
    assert_frequencies(taken, [weights[0]] * 5 + [weights[1]] * 5)


@pytest.mark.parametrize("size", [1, 3, SIZE])
@pytest.mark.parametrize("end", ["easiest", "hardest"])
def test_the_narrowest_slice_of_a_tiny_set_still_has_an_example(size: int, end: str) -> None:
    slices = (Slice(0.0, 0.001),) if end == "easiest" else (Slice(0.999, 1.0),)
    taken = numbers(numbered(size).take(8, slices))
    assert taken == [0 if end == "easiest" else size - 1] * 8


MIX = {"difficulty": (Slice(0.0, 0.5, 1.0), Slice(0.5, 1.0, 2.0)), "sources": (0.7, 0.3)}


def test_nothing_is_repeated_within_an_epoch() -> None:
    source = numbered(40, [25, 15])
    epochs: dict[int, list[int]] = {}
    for _ in range(400):
        (number,) = numbers(source.take(1, **MIX))
        epochs.setdefault((source.drawn - 1) // 40, []).append(number)
    assert len(epochs) > 5
    assert all(len(set(epoch)) == len(epoch) for epoch in epochs.values())
    assert len({tuple(epoch) for epoch in epochs.values()}) == len(epochs)


@pytest.mark.parametrize("ahead", [1, 7, 4096])
def test_chunks_do_not_matter_with_a_mix(monkeypatch: pytest.MonkeyPatch, ahead: int) -> None:
    whole, parts = numbered(40, [25, 15]), numbered(40, [25, 15])
    sizes = [1, 2, 60, 3, 1, 40, 13]
    taken = numbers(whole.take(sum(sizes), **MIX))
    monkeypatch.setattr(data, "_AHEAD", ahead)
    assert taken == [n for size in sizes for n in numbers(parts.take(size, **MIX))]
    assert whole.drawn == parts.drawn


def test_a_mix_that_changes_goes_on_exactly_anywhere() -> None:
    mixes: list[dict[str, Any]] = [
        MIX, {}, {"difficulty": (Slice(0.3, 0.6),)}, {"sources": (0.1, 0.9)},
    ]  # fmt: skip
    source = numbered(40, [25, 15], seed=7)
    for step in range(60):
        state = json.loads(json.dumps(source.state_dict()))
        resumed = numbered(40, [25, 15], seed=7)
        resumed.take(3, **MIX)
        resumed.load_state_dict(state)
        mix = mixes[step // 4 % 4]
        assert same(source.take(1 + step % 5, **mix), resumed.take(1 + step % 5, **mix))
        assert source.drawn == resumed.drawn


def test_each_source_gets_its_share() -> None:
    taken = np.array(numbers(numbered(100, [80, 15, 5]).take(6000, sources=(0.2, 0.5, 0.3))))
    shares = [(taken < 80).mean(), ((taken >= 80) & (taken < 95)).mean(), (taken >= 95).mean()]
    assert shares == pytest.approx([0.2, 0.5, 0.3], abs=0.03)
    assert_frequencies(taken.tolist(), [0.2 / 80] * 80 + [0.5 / 15] * 15 + [0.3 / 5] * 5)
    only = numbers(numbered(100, [80, 15, 5]).take(300, sources=(0.0, 1.0, 0.0)))
    assert set(only) == set(range(80, 95))


def test_slices_are_of_each_source_by_itself() -> None:
    examples = numbered(100, [80, 20]).take(2000, (Slice(0.0, 0.25),), (0.5, 0.5))
    assert_frequencies(numbers(examples), [1 / 20] * 20 + [0] * 60 + [1 / 5] * 5 + [0] * 15)
    assert examples.difficulty.max() < 0.25


def test_a_mix_depends_on_the_seed_alone() -> None:
    one, again, other = (numbers(numbered(40, seed=s).take(50, TWO_SLICES)) for s in (0, 0, 1))
    assert one == again != other


def test_without_a_mix_the_order_is_the_epochs_permutation() -> None:
    taken = numbers(numbered(30, seed=5).take(75))
    orders = [np.random.default_rng([5, 1, epoch]).permutation(30) for epoch in range(3)]
    assert taken == np.concatenate(orders)[:75].tolist()


def test_places_are_ranks_within_the_source_and_ties_keep_their_order() -> None:
    difficulty = np.array([3, 1, 3, 2, 5, 5, 0], np.float32)
    rank, size = places(difficulty, np.array([0, 0, 0, 0, 1, 1, 1], np.int32))
    assert rank.tolist() == [2, 0, 3, 1, 1, 2, 0]
    assert size.tolist() == [4, 4, 4, 4, 3, 3, 3]
