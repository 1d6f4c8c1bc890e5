"""The reference's data folders: read as they are, sampled as there, written and read again."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trm.config import experiment_from
from trm.errors import UserError
from trm.reference.configs import overrides, reference_file
from trm.tasks import TASKS
from trm.tasks.base import IGNORE
from trm.tasks.data import DataConfig, DataTask
from trm.tasks.data.reference_export import export_folder
from trm.tasks.data.reference_folder import epoch_order
from trm.testing.tasks import check_task
from trm.training.data import ExampleStream

SIDE = 3


def write_split(folder: Path, groups: list[list[int]], first: int, **changes: Any) -> None:
    """A split whose groups hold puzzles of so many examples each; every input is its own."""
    folder.mkdir(parents=True)
    sizes = [size for group in groups for size in group]
    count, cells = sum(sizes), SIDE * SIDE
    numbers = np.arange(first, first + count)
    inputs = (numbers[:, None] // 4 ** np.arange(cells) % 4 + 1).astype(np.uint8)
    labels = inputs[:, ::-1].copy()
    labels[:, 0] = 0
    arrays = {
        "inputs": inputs,
        "labels": labels,
        "puzzle_identifiers": np.arange(1, len(sizes) + 1, dtype=np.int32),
        "puzzle_indices": np.cumsum([0, *sizes]).astype(np.int32),
        "group_indices": np.cumsum([0, *map(len, groups)]).astype(np.int32),
    }
    for name, array in arrays.items():
        np.save(folder / f"all__{name}.npy", changes.get(name, array))
    head = {
        "pad_id": 0, "ignore_label_id": 0, "blank_identifier_id": 0, "vocab_size": 6,
        "seq_len": cells, "num_puzzle_identifiers": 1 + len(sizes), "total_groups": len(groups),
        "mean_puzzle_examples": count / len(sizes), "total_puzzles": len(sizes), "sets": ["all"],
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(head | changes.get("head", {})))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """40 groups of 3 puzzles with 2 examples, and 30 of one puzzle for test."""
    path = tmp_path / "reference"
    write_split(path / "train", [[2, 2, 2]] * 40, 0)
    write_split(path / "test", [[1]] * 30, 1000)
    names = ["<blank>", *(f"name-{k}" for k in range(1, 121))]
    (path / "identifiers.json").write_text(json.dumps(names))
    return path


def build(path: Path, **keys: Any) -> DataTask:
    task = DataConfig(file=str(path), **keys).build()
    assert isinstance(task, DataTask)
    return task


def test_a_folder_reads_as_it_is(folder: Path) -> None:
    task = build(folder)
    train, test = task.split("train"), task.split("test")
    inputs = np.load(folder / "train/all__inputs.npy")
    assert (task.vocab_size, task.seq_len, task.grid_shape) == (6, 9, (3, 3))
    assert task.identifiers[:3] == ("<blank>", "name-1", "name-2")
    assert task.num_puzzle_identifiers == 121
    # A tenth of the 80 examples of first puzzles, so four groups of two.
    assert (len(train), len(task.split("valid")), len(test)) == (36 * 6, 8, 30)
    assert np.array_equal(test.inputs, np.load(folder / "test/all__inputs.npy"))
    assert (test.labels[:, 0] == IGNORE).all()
    assert (test.labels[:, 1:] > 0).all()
    known = {row.tobytes(): k for k, row in enumerate(inputs.astype(np.int32))}
    places = [known[row.tobytes()] for row in train.inputs]
    assert places == sorted(places)
    assert train.puzzle_identifiers.tolist() == [place // 2 + 1 for place in places]
    # Whole groups are held out, of each its first puzzle.
    valid = [known[row.tobytes()] for row in task.split("valid").inputs]
    assert {place // 6 for place in valid}.isdisjoint(place // 6 for place in places)
    assert all(place % 6 < 2 for place in valid)
    assert len(places) == 240 - 3 * len(valid)


def test_the_suite_of_tasks(folder: Path) -> None:
    check_task(DataConfig(file=str(folder), valid_examples=10))


def test_a_round_visits_each_group_once_with_one_puzzle() -> None:
    puzzle = np.repeat(np.arange(12), 2).astype(np.int32)
    group = np.repeat(np.arange(4), 6).astype(np.int32)
    rng, seen = np.random.default_rng(0), Counter[int]()
    for _ in range(200):
        order = epoch_order(puzzle, group, rng)
        assert len(order) == 24
        for begin in range(0, 24, 8):  # a round has four groups with two examples each
            part = order[begin : begin + 8]
            assert sorted(group[part]) == [0, 0, 1, 1, 2, 2, 3, 3]
            assert (part[::2] + 1 == part[1::2]).all()
        seen.update(puzzle[order].tolist())
    assert len(seen) == 12
    assert min(seen.values()) > 0.8 * max(seen.values())


def test_training_samples_by_group_and_resumes_where_it_was(folder: Path) -> None:
    task = build(folder)
    stream = ExampleStream(task, seed=3)
    groups = len(task.levels("train")[1]) - 1  # type: ignore[index]
    first = stream.take(2 * groups)
    names = [(k - 1) // 3 for k in first.puzzle_identifiers]
    assert all(count == 2 for count in Counter(names).values())
    state, after = stream.state_dict(), stream.take(300)
    again = ExampleStream(task, seed=3)
    again.load_state_dict(state)
    assert np.array_equal(again.take(300).inputs, after.inputs)


SMALL = {"train_examples": 60, "valid_examples": 12, "test_examples": 12}


@pytest.mark.parametrize(
    "section",
    [
        {"name": "arrows", "size": 3, "visited": [2, 4], **SMALL},
        {"name": "sudoku", "box": [2, 2], "blanks": 6, **SMALL},
    ],
    ids=lambda section: section["name"],
)
def test_any_task_goes_there_and_back(section: dict[str, Any], tmp_path: Path) -> None:
    task = TASKS[section["name"]](**{k: v for k, v in section.items() if k != "name"}).build()
    export_folder(task, tmp_path / "out")
    again = build(tmp_path / "out")
    for name in ("train", "valid", "test"):
        one, other = task.split(name), again.split(name)  # type: ignore[arg-type]
        assert np.array_equal(one.inputs, other.inputs)
        assert np.array_equal(one.labels, other.labels)
    head = json.loads((tmp_path / "out/train/dataset.json").read_text())
    assert head["total_groups"] == head["total_puzzles"] == 60
    assert np.load(tmp_path / "out/train/all__inputs.npy").dtype == np.uint8
    assert np.load(tmp_path / "out/train/all__puzzle_indices.npy").dtype == np.int32


def test_a_mixture_keeps_its_ignored_cells_and_identifiers(tmp_path: Path) -> None:
    tree = {
        "name": "mixture",
        "tasks": {
            "small": {"name": "arrows", "size": 3, "visited": [2, 4], **SMALL},
            "large": {"name": "arrows", "size": 4, **SMALL},
        },
    }
    task = experiment_from({"task": tree}).task.build()
    export_folder(task, tmp_path / "out")
    again = build(tmp_path / "out", leaks="drop")
    one, other = task.split("train"), again.split("train")
    assert np.array_equal(one.labels, other.labels)
    assert np.array_equal(one.puzzle_identifiers, other.puzzle_identifiers)


def test_a_folder_is_exported_with_its_levels(folder: Path, tmp_path: Path) -> None:
    task = build(folder)
    export_folder(task, tmp_path / "out")
    again = build(tmp_path / "out")
    assert again.data_hash == task.data_hash
    for one, other in zip(task.levels("train"), again.levels("train"), strict=True):  # type: ignore[arg-type]
        assert np.array_equal(one, other)


def test_the_references_epochs_are_rounds_over_groups(folder: Path, tmp_path: Path) -> None:
    # An epoch is 40 groups with a puzzle of 2 examples each: 10 steps of 8, of groups that are
    # held out here too.
    task = build(folder)
    assert len(task.split("train")) == 216
    section = {"name": "data", "file": str(folder)}
    config = experiment_from({"task": section, "train": {"batch_size": 8, "reports": 5}})
    assert "epochs=5" in overrides(config, task, 50)
    assert "eval_interval=1" in overrides(config, task, 50)
    assert "the reference trains" not in reference_file(config, task, 50)
    head = json.loads((folder / "train/dataset.json").read_text())
    (folder / "train/dataset.json").write_text(json.dumps(head | {"total_groups": None}))
    with pytest.raises(UserError, match="total_groups and mean_puzzle_examples must be numbers"):
        overrides(config, build(folder), 50)


def test_copies_are_puzzles_of_one_group(tmp_path: Path) -> None:
    task = TASKS["sudoku"](box=[2, 2], blanks=6, **SMALL).build()
    assert export_folder(task, tmp_path / "out", copies=3)["train"] == 240
    head = json.loads((tmp_path / "out/train/dataset.json").read_text())
    assert (head["total_groups"], head["total_puzzles"]) == (60, 240)
    inputs = np.load(tmp_path / "out/train/all__inputs.npy")
    assert np.array_equal(inputs[::4], task.split("train").inputs)
    assert (inputs[::4] != inputs[1::4]).any()
    moved = inputs.astype(np.int32), np.load(tmp_path / "out/train/all__labels.npy")
    assert task.verify(moved[0], moved[1].astype(np.int32)).all()
    plain = TASKS["arrows"](size=3, visited=[2, 4], **SMALL).build()
    with pytest.raises(UserError, match="is for tasks that augment"):
        export_folder(plain, tmp_path / "other", copies=2)
    with pytest.raises(UserError, match="is there already"):
        export_folder(task, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"head": {"pad_id": 3}}, "pad_id: 3 is not 0"),
        ({"head": {"sets": ["other"]}}, "other__inputs.npy: cannot be read"),
        ({"head": {"seq_len": 8}}, r"has the shape \[8, 9\]"),
        ({"head": {"vocab_size": 4}}, "row 1, labels: holds|row 1, inputs: holds|holds 4"),
        ({"puzzle_indices": np.array([0, 9, 8], np.int32)}, "puzzle_indices.npy: must rise"),
        ({"group_indices": np.array([1, 4], np.int32)}, "group_indices.npy: must rise"),
        ({"puzzle_identifiers": np.arange(3)}, "must rise from 0 to 3|names 3 puzzles"),
        ({"inputs": np.array([[None]])}, "is no array of numbers"),
    ],
)
def test_a_folder_that_is_damaged(changes: Any, said: str, tmp_path: Path) -> None:
    write_split(tmp_path / "train", [[2, 2], [2, 2]], 0, **changes)
    write_split(tmp_path / "test", [[1]], 100, head=changes.get("head", {}))
    with pytest.raises(UserError, match=said):
        build(tmp_path)
