from pathlib import Path

import numpy as np
import pytest

from trm.errors import UserError
from trm.tasks.arrows import ArrowsConfig, ArrowsTask, canonical, trace

MOVES = {1: (-1, 0), 2: (0, 1), 3: (1, 0), 4: (0, -1)}


def walk(tokens: list[int], size: int) -> list[int]:
    """The rules, cell by cell."""
    answer = [(token - 1) % 4 + 1 for token in tokens]
    here = next(i for i, token in enumerate(tokens) if token > 4)
    while answer[here] <= 4:
        dy, dx = MOVES[answer[here]]
        answer[here] += 4
        y, x = here // size + dy, here % size + dx
        if not (0 <= y < size and 0 <= x < size):
            break
        here = y * size + x
    return answer


@pytest.fixture(scope="module", params=[4, 5])
def task(request: pytest.FixtureRequest) -> ArrowsTask:
    config = ArrowsConfig(size=request.param, train_examples=700, valid_examples=100,
                          test_examples=100, augment=True)  # fmt: skip
    task = config.build()
    assert isinstance(task, ArrowsTask)
    return task


def test_labels_follow_the_rules(task: ArrowsTask) -> None:
    split = task.split("train")
    expected = [walk(row.tolist(), task.size) for row in split.inputs]
    assert np.array_equal(split.labels, expected)
    assert task.verify(split.inputs, split.labels).all()
    wrong = split.labels.copy()
    wrong[:, 0] = (wrong[:, 0] + 3) % 8 + 1
    assert not task.verify(split.inputs, wrong).any()


def test_every_length_is_drawn_equally_often(task: ArrowsTask) -> None:
    low, high = ArrowsConfig(size=task.size).visited_range
    lengths = np.concatenate([task.split(name).difficulty for name in ("train", "valid", "test")])
    counts = np.bincount(lengths.astype(int), minlength=high + 1)
    assert counts[:low].sum() == 0
    assert counts[low:].max() - counts[low:].min() <= high - low + 1


def test_no_two_examples_are_rotations_or_reflections(task: ArrowsTask) -> None:
    inputs = np.concatenate([task.split(name).inputs for name in ("train", "valid", "test")])
    forms = {form.tobytes() for form in canonical(inputs, task.size)}
    assert len(forms) == len(inputs)


def test_augmentation_keeps_rules_and_form(task: ArrowsTask) -> None:
    split = task.split("train")
    inputs, labels = task.augment(split.inputs, split.labels, np.random.default_rng(1))
    assert np.array_equal(trace(inputs, task.size), labels)
    assert np.array_equal(canonical(inputs, task.size), canonical(split.inputs, task.size))
    assert not np.array_equal(inputs, split.inputs)


def test_same_seed_same_data_and_the_cache_returns_it(tmp_path: Path) -> None:
    config = ArrowsConfig(train_examples=70, valid_examples=10, test_examples=10)
    first, second = config.build(tmp_path), config.build(tmp_path)
    assert first.data_hash == second.data_hash == config.build().data_hash
    other = config.model_copy(update={"seed": 1}).build(tmp_path)
    assert other.data_hash != first.data_hash


def test_a_puzzle_is_read_as_it_is_written() -> None:
    task = ArrowsConfig(train_examples=7, valid_examples=7, test_examples=7).build()
    tokens = task.parse("Rdlu ddll uuuu rrrr")
    assert tokens[:4].tolist() == [6, 3, 4, 1]
    answer = trace(tokens[None], 4)[0]
    assert task.show(answer, tokens).splitlines()[0] == "*→*[↓] ←  ↑ "


@pytest.mark.parametrize(
    ("text", "word"),
    [("Rdl", "16 letters"), ("x" * 16, "only u, r, d, l"), ("r" * 16, "exactly one letter")],
)
def test_bad_puzzles_are_refused(text: str, word: str) -> None:
    task = ArrowsConfig(train_examples=7, valid_examples=7, test_examples=7).build()
    with pytest.raises(UserError, match=word):
        task.parse(text)


def test_impossible_lengths_are_refused_before_anything_is_drawn() -> None:
    with pytest.raises(ValueError, match="lower the upper end"):
        ArrowsConfig(size=4, visited=[2, 9])
