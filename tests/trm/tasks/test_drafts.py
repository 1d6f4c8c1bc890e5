"""Files of drafts: what any model may write, read as tokens, and every mistake in a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trm.errors import UserError
from trm.tasks.arrows import ArrowsConfig
from trm.tasks.base import IGNORE, Task
from trm.tasks.drafts import drafts_of, read_drafts, write_drafts
from trm.tasks.sudoku import SudokuConfig

PUZZLE = ".3....2..1....4."


@pytest.fixture(scope="module")
def sudoku() -> Task:
    return SudokuConfig(
        box=(2, 2), blanks=8, train_examples=20, valid_examples=20, test_examples=20
    ).build()


def written(path: Path, *rows: Any) -> Path:
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def test_text_and_tokens_say_the_same(sudoku: Task, tmp_path: Path) -> None:
    # The draft breaks the rules, changes a given (3 to 4) and leaves two cells open.
    draft = "1411" + "2222" + "3331" + "44.."
    inputs = sudoku.parse(PUZZLE)
    tokens = [int(cell) + 1 for cell in draft[:-2]] + [None, None]
    as_text = read_drafts(
        written(tmp_path / "a", {"input": PUZZLE, "draft": draft, "by": "me"}, ""), sudoku
    )
    as_tokens = read_drafts(
        written(tmp_path / "b", {"input": inputs.tolist(), "draft": tokens}), sudoku
    )
    (found,), (other,) = as_text.values(), as_tokens.values()
    expected = [2, 5, 2, 2, 3, 3, 3, 3, 4, 4, 4, 2, 5, 5]
    assert found[:14].tolist() == expected
    assert found[15] == IGNORE
    assert other.tolist() == [*expected, IGNORE, IGNORE]
    # The cell before the last is a given of the puzzle, which a blank of the draft contradicts.
    assert found[14] == 1


def test_each_puzzle_gets_its_own_and_the_others_nothing(sudoku: Task, tmp_path: Path) -> None:
    split = sudoku.split("valid")
    answers = np.roll(split.labels, 1, axis=1)
    write_drafts(tmp_path / "drafts.jsonl", split.take(np.arange(5, 9)), answers[5:9])
    found = drafts_of(split.inputs, read_drafts(tmp_path / "drafts.jsonl", sudoku))
    assert found.dtype == np.int32
    assert np.array_equal(found[5:9], answers[5:9])
    assert (np.delete(found, range(5, 9), axis=0) == IGNORE).all()


def test_a_task_in_letters(tmp_path: Path) -> None:
    task = ArrowsConfig(
        size=3, visited=[2, 4], train_examples=64, valid_examples=8, test_examples=8
    ).build()
    split = task.split("valid")
    write_drafts(tmp_path / "drafts.jsonl", split, split.labels)
    found = drafts_of(split.inputs, read_drafts(tmp_path / "drafts.jsonl", task))
    assert np.array_equal(found, split.labels)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "holds no draft: each line is"),
        (["{"], "line 1: is no draft: write {"),
        (["[1, 2]"], "line 1: is no draft"),
        ([{"input": PUZZLE}], "line 1: is no draft"),
        ([{"input": PUZZLE, "draft": PUZZLE}] * 2, "line 2: holds a second draft of one puzzle"),
        ([{"input": PUZZLE, "draft": "123"}], "line 1, draft: "),
        ([{"input": "9" * 16, "draft": "1" * 16}], "line 1, input: "),
        ([{"input": PUZZLE, "draft": [1] * 15}], "line 1, draft: needs 16 tokens below 6"),
        ([{"input": PUZZLE, "draft": [1] * 15 + [6]}], "needs 16 tokens below 6"),
        ([{"input": PUZZLE, "draft": [1] * 15 + [True]}], "needs 16 tokens below 6"),
        ([{"input": [None] * 16, "draft": [1] * 16}], "line 1, input: needs 16 tokens"),
        ([{"input": PUZZLE, "draft": {"a": 1}}], "needs 16 tokens below 6"),
    ],
)
def test_what_is_no_draft_is_one_line(
    rows: list[Any], says: str, sudoku: Task, tmp_path: Path
) -> None:
    path = written(tmp_path / "drafts.jsonl", *rows)
    with pytest.raises(UserError) as error:
        read_drafts(path, sudoku)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(sudoku: Task, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--drafts: .*cannot be read"):
        read_drafts(tmp_path / "nowhere", sudoku)


def test_line_ends_of_windows_and_of_unicode_in_a_text(sudoku: Task, tmp_path: Path) -> None:
    inputs = sudoku.split("test").inputs[:2]
    rows = [
        {"input": row.tolist(), "draft": row.tolist(), "model": "one\u2028two\x85three"}
        for row in inputs
    ]
    text = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "drafts.jsonl").write_bytes(text.encode())
    assert [*read_drafts(tmp_path / "drafts.jsonl", sudoku)] == [row.tobytes() for row in inputs]
