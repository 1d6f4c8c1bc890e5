"""Pictures of grids: what is marked, and files that need nothing else."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from curricula.component import by_name
from trm.tasks import TASKS
from trm.tasks.base import IGNORE, Task
from trm.tasks.picture import COLOURS, PATH, WALL, WRONG, Look, Painting, svg

SIZES = {"train_examples": 40, "valid_examples": 6, "test_examples": 6}
ARROWS = {"name": "arrows", "size": 3, "visited": [2, 4], **SIZES}
SECTIONS: list[dict[str, Any]] = [
    ARROWS,
    {"name": "sudoku", "box": [2, 3], "blanks": 12, **SIZES},
    {"name": "maze", "size": 7, **SIZES},
    {"name": "sort", "beyond": None, **SIZES},
    {"name": "colouring", "beyond": None, **SIZES},
    {"name": "mixture", "tasks": {"a": ARROWS, "b": {"name": "sudoku", "box": [2, 2], **SIZES}}},
]


@pytest.fixture(scope="module", params=SECTIONS, ids=lambda section: section["name"])
def task(request: pytest.FixtureRequest) -> Task:
    return by_name(TASKS, request.param).build()


def drawn(text: str) -> ElementTree.Element:
    """An SVG's root; it is one file that loads and runs nothing."""
    assert not re.search(r"href|script|url\(|@import|<image|<style", text)
    return ElementTree.fromstring(text)


def test_wrong_cells_are_marked_and_no_others(task: Task) -> None:
    valid = task.split("valid")
    for given, label in zip(valid.inputs, valid.labels, strict=True):
        right = task.painted(label, given)
        assert len(right.cells) == right.shape[0] * right.shape[1]
        assert not any(cell.wrong for cell in task.painted(label, given).against(right).cells)
        cell = int(np.flatnonzero(label != IGNORE)[-1])
        wrong = label.copy()
        # Another word of the same puzzle: 0 and tokens of other tasks are no word of it.
        others = [t for t in np.unique(label) if t not in (IGNORE, 0, label[cell])]
        wrong[cell] = others[0] if others else label[cell]
        marked = [cell.wrong for cell in task.painted(wrong, given).against(right).cells]
        assert sum(marked) == (1 if others else 0)
        picture = drawn(svg([("p", task.painted(given)), ("a", task.painted(wrong, given))]))
        assert len(picture.findall(".//{*}g")) == 4


def test_any_answer_can_be_painted(task: Task) -> None:
    rng = np.random.default_rng(0)
    for given in task.split("valid").inputs:
        answer = rng.integers(task.vocab_size, size=task.seq_len).astype(np.int32)
        drawn(svg([("answer", task.painted(answer, given))]))


def test_a_maze_has_walls_and_a_path_a_sudoku_boxes_a_colouring_colours() -> None:
    maze = by_name(TASKS, SECTIONS[2]).build()
    valid = maze.split("valid")
    fills = [cell.fill for cell in maze.painted(valid.labels[0], valid.inputs[0]).cells]
    assert fills.count(WALL) == int((valid.inputs[0] == 1).sum())
    assert fills.count(PATH) == int(valid.difficulty[0]) - 1
    sudoku = by_name(TASKS, SECTIONS[1]).build()
    assert sudoku.painted(sudoku.split("valid").inputs[0]).boxes == (2, 3)
    colouring = by_name(TASKS, SECTIONS[4]).build()
    label = colouring.split("valid").labels[0]
    assert {cell.fill for cell in colouring.painted(label).cells} <= set(COLOURS)


def test_titles_and_texts_are_escaped_and_marks_are_drawn() -> None:
    one = Painting((1, 2), (Look("<&>"), Look("b")))
    text = svg([("a < b", one.against(Painting((1, 2), (Look("<&>"), Look("c")))))])
    root = drawn(text)
    assert root.findtext("{*}title") == "a < b"
    assert text.count(WRONG) == 2, "one frame and one corner"
    assert [node.text for node in root.findall(".//{*}text")] == ["a < b", "<&>", "b"]
    other = Painting((2, 1), one.cells)
    assert one.against(other) == one


def test_rows_stand_below_each_other_and_all_fits() -> None:
    row, square = Painting((1, 9), (Look("7"),) * 9), Painting((3, 3), (Look("7"),) * 9)
    below = drawn(svg([("one", row), ("other", row)]))
    beside = drawn(svg([("one", square), ("other", square)]))

    def at(root: ElementTree.Element) -> list[tuple[int, int]]:
        moves = [node.get("transform", "") for node in root.findall("{*}g")]
        return [tuple(map(int, re.findall(r"\d+", move))) for move in moves]  # type: ignore[misc]

    (x, y), (right, bottom) = at(below)
    assert x == right
    assert y < bottom
    (x, y), (right, bottom) = at(beside)
    assert x < right
    assert y == bottom
    for root in (below, beside):
        for left, top in at(root):
            assert left < int(root.get("width", 0))
            assert top < int(root.get("height", 0))
