"""What `trm tasks --write` writes is read back by every task, and by `task.file`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trm.errors import UserError
from trm.tasks import TASKS
from trm.tasks.base import Split, Task
from trm.tasks.token_file import holds_tokens, write_split

SIZES = {"train_examples": 40, "valid_examples": 10, "test_examples": 10}
ARROWS = {"name": "arrows", "size": 3, "visited": [2, 4], **SIZES}
SUDOKU = {"name": "sudoku", "box": [2, 2], **SIZES}
KINDS: dict[str, dict[str, Any]] = {
    "arrows": ARROWS,
    "sudoku": SUDOKU,
    "mixture": {"name": "mixture", "tasks": {"a": ARROWS, "s": SUDOKU}},
    "sizes": {"name": "mixture", "tasks": {"a": ARROWS, "b": {**ARROWS, "size": 4}}},
}


def built(kind: str, cache: Path) -> Task:
    section = KINDS[kind]
    return TASKS[section["name"]].model_validate(section).build(cache)


def written(task: Task, folder: Path, split: Split | None = None) -> Path:
    path = folder / "split.csv"
    sources = [task.sources[i] for i in task.source_of("valid")] if task.sources else None
    write_split(path, split or task.split("valid"), sources)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_split_comes_back(kind: str, cache: Path, tmp_path: Path) -> None:
    task = built(kind, cache)
    path, valid = written(task, tmp_path), task.split("valid")
    read = task.read(path, cache=tmp_path)
    assert holds_tokens(path)
    assert np.array_equal(read.inputs, valid.inputs)
    assert np.array_equal(read.labels, valid.labels)
    assert np.array_equal(read.puzzle_identifiers, valid.puzzle_identifiers)
    assert len(task.read(path, examples=3)) == 3


def test_a_task_is_made_from_it(cache: Path, tmp_path: Path) -> None:
    task = built("sudoku", cache)
    path = written(task, tmp_path, task.split("train"))
    few = {"train_examples": 10, "valid_examples": 5, "test_examples": 5}
    section = {"name": "sudoku", "box": [2, 2], "file": str(path), **few}
    again = TASKS["sudoku"].model_validate(section).build(cache)
    known = {row.tobytes() for row in task.split("train").inputs}
    assert {row.tobytes() for row in again.split("valid").inputs} <= known


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "line 1: has no columns input,label"),
        ("a,b\n1,2\n", "line 1: has no columns input,label"),
        ("input,label\n", "holds no puzzle"),
        ("input,label\n1 2 3\n", "line 2: has 1 columns"),
        ("input,label\n1 2 3,1 2 3\n", "line 2: the input has 3 tokens; arrows needs 9"),
        ("input,label\n1 1 1 1 1 1 1 1 x,1 1 1 1 1 1 1 1 1\n", "whole numbers from 0 to 8"),
        ("input,label\n1 1 1 1 1 1 1 1 9,1 1 1 1 1 1 1 1 1\n", "whole numbers from 0 to 8"),
        ("input,label\n5 1 1 1 1 1 1 1 1,1 1 1 1 1 1 1 1 1\n", "line 2: the label is no answer"),
        ("input,label\n5 1 1 1 1 1 1 1 1,5 1 1 1 1 1 1 1 \ud7ff\n", "whole numbers"),
        (b"input,label\n\xff\xfe", "is not a text file"),
        ('input,label\n"' + "1 " * 99_000 + '",1\n', "field larger than field limit"),
        (None, "cannot be read"),
    ],
)
def test_another_file_is_one_line(
    content: str | bytes | None, words: str, cache: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as caught:
        built("arrows", cache).read(path)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
