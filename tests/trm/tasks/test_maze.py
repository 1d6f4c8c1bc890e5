"""Mazes: what is drawn, what is right, and files as people have them."""

from __future__ import annotations

import itertools
import sys
import types
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trm.errors import UserError
from trm.tasks.base import Tokens
from trm.tasks.maze import MazeConfig, MazeTask, distances, is_shortest
from trm.tasks.maze.files import read_mazes
from trm.tasks.maze.generator import carved
from trm.tasks.maze.grid import CHARACTERS, GOAL, OPEN, PATH, START, WALL, canonical, symmetries
from trm.tasks.maze.paths import lengths, solved
from trm.testing.tasks import check_task

SMALL = {"train_examples": 60, "valid_examples": 12, "test_examples": 12}


def near(cell: int, size: int) -> list[int]:
    y, x = divmod(cell, size)
    around = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
    return [v * size + u for v, u in around if 0 <= v < size and 0 <= u < size]


def by_hand(maze: list[int], size: int) -> int:
    """Steps from start to goal, by a queue; -1 where no way leads."""
    begin = maze.index(START)
    steps, queue = {begin: 0}, deque([begin])
    while queue:
        cell = queue.popleft()
        if maze[cell] == GOAL:
            return steps[cell]
        for other in near(cell, size):
            if maze[other] != WALL and other not in steps:
                steps[other] = steps[cell] + 1
                queue.append(other)
    return -1


def shortest(maze: list[int], size: int) -> set[tuple[int, ...]]:
    """Every right answer, by walking all ways of the shortest length."""
    most, found = by_hand(maze, size), set()

    def walk(cell: int, way: tuple[int, ...]) -> None:
        if maze[cell] == GOAL:
            if len(way) == most:
                found.add(tuple(PATH if c in way[:-1] else t for c, t in enumerate(maze)))
            return
        if len(way) < most:
            for other in near(cell, size):
                if maze[other] not in (WALL, START) and other not in way:
                    walk(other, (*way, other))

    walk(maze.index(START), ())
    return found


def random_mazes(count: int, size: int, rng: np.random.Generator, walls: float) -> Tokens:
    """Cells at random: open places, several ways, none at all."""
    mazes = np.where(rng.random((count, size * size)) < walls, WALL, OPEN).astype(np.int32)
    for maze in mazes:
        begin, end = rng.choice(size * size, 2, replace=False)
        maze[begin], maze[end] = START, GOAL
    return mazes


def test_right_is_what_all_shortest_ways_are() -> None:
    size, rng = 4, np.random.default_rng(0)
    for maze in random_mazes(60, size, rng, 0.35):
        right = shortest(maze.tolist(), size) if by_hand(maze.tolist(), size) > 0 else set()
        tried = list(right)
        cells = np.flatnonzero(maze == OPEN)
        tried += [
            tuple(np.where(np.isin(np.arange(size * size), chosen), PATH, maze).tolist())
            for count in range(min(len(cells), 5) + 1)
            for chosen in itertools.combinations(cells, count)
        ]
        answers = np.array(tried, dtype=np.int32)
        said = is_shortest(np.repeat(maze[None], len(answers), 0), answers, size)
        assert said.tolist() == [one in right for one in tried]
        if right:
            assert tuple(solved(maze[None], size)[0].tolist()) in right


def test_lengths_are_those_of_a_queue() -> None:
    rng = np.random.default_rng(1)
    for size, walls in ((5, 0.2), (9, 0.4), (12, 0.3)):
        mazes = random_mazes(50, size, rng, walls)
        assert lengths(mazes, size).tolist() == [by_hand(m.tolist(), size) for m in mazes]


def test_an_answer_that_moves_a_wall_or_an_end_is_wrong() -> None:
    task = MazeConfig(size=7, **SMALL).build()
    valid = task.split("valid")
    assert task.verify(valid.inputs, valid.labels).all()
    for wrong in (
        np.where(valid.inputs == WALL, OPEN, valid.labels),
        np.where(valid.inputs == START, PATH, valid.labels),
        np.where(valid.inputs == GOAL, START, valid.labels),
        np.where(valid.inputs == OPEN, PATH, valid.labels),
        valid.inputs,
    ):
        refused = ~task.verify(valid.inputs, wrong.astype(np.int32))
        changed = (wrong != valid.labels).any(axis=1)
        assert (refused == changed).all()


@pytest.mark.parametrize("size", [7, 8, 12])
def test_a_perfect_maze_has_one_way_and_a_braided_one_no_dead_end(size: int) -> None:
    rng = np.random.default_rng(size)
    rooms = ((size + 1) // 2) ** 2
    for _ in range(20):
        cells = carved(size, 0.0, rng)
        assert (cells == OPEN).sum() == 2 * rooms - 1, "a tree of rooms"
        flat = (cells == OPEN).ravel()[None]
        start = np.zeros_like(flat)
        start[0, 0] = True
        assert (distances(flat, start, size)[flat] >= 0).all(), "all rooms are joined"
        opened = carved(size, 1.0, rng)
        for y, x in itertools.product(range(0, size, 2), repeat=2):
            ways = sum(opened.ravel()[c] == OPEN for c in near(y * size + x, size))
            assert ways > 1, opened


def test_lengths_are_spread_over_what_is_asked() -> None:
    task = MazeConfig(size=9, path=[5, 13], train_examples=400, valid_examples=50).build()
    counts = np.unique(task.split("train").difficulty, return_counts=True)
    assert counts[0].tolist() == [6, 8, 10, 12]
    assert counts[1].min() > 60


@pytest.mark.parametrize(
    "keys", [{"size": 7}, {"size": 8, "braid": 1.0}, {"size": 9, "augment": False}]
)
def test_the_contract(keys: dict[str, Any]) -> None:
    check_task(MazeConfig(**keys, **SMALL))


def test_images_of_a_maze_are_one_and_all_eight_are_drawn() -> None:
    task = MazeConfig(size=7, **SMALL).build()
    one = task.split("train").inputs[:1]
    images = one[0][symmetries(7)]
    assert len(np.unique(images, axis=0)) == 8
    assert len(np.unique(canonical(images, 7), axis=0)) == 1
    many = task.augment(one.repeat(400, 0), one.repeat(400, 0), np.random.default_rng(0))[0]
    assert {row.tobytes() for row in many} == {row.tobytes() for row in images}


def test_a_maze_as_it_is_written_and_shown() -> None:
    task = MazeConfig(size=5, path=[4, 8], **SMALL).build()
    text = "S#   \n # # \n # #\n # # \n   #G\n"
    tokens = task.parse(text)
    assert task.parse(text.replace(" ", ".").replace("#\n.#", "#.\n.#")).tolist() == tokens.tolist()
    answer = solved(tokens[None], 5)[0]
    assert task.show(answer, tokens).splitlines() == ["S█•••", "•█•█•", "•█•█•", "•█•█•", "•••█G"]
    through = answer.copy()
    through[1] = PATH
    assert task.show(through, tokens).startswith("S×•••")
    assert task.parse("".join(CHARACTERS[t - 1] for t in answer)).tolist() == answer.tolist()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("S G", "needs 5 rows of 5 characters"),
        ("S" * 24 + "G", "needs exactly one S, and has 24"),
        ("S" + " " * 24, "needs exactly one G, and has 0"),
        ("Sx" + " " * 22 + "G", "only # (wall)"),
    ],
)
def test_what_is_no_maze_is_a_line(text: str, words: str) -> None:
    task = MazeConfig(size=5, path=[4, 8], **SMALL).build()
    with pytest.raises(UserError) as caught:
        task.parse(text)
    assert words in str(caught.value)


def written(path: Path, mazes: Tokens, labels: Tokens | None = None) -> Path:
    """A file as the public data set has it."""
    rows = ["source,question,answer,rating"]
    for index, maze in enumerate(mazes):
        answer = "" if labels is None else text_of(labels[index])
        rows.append(f"x,{text_of(maze)},{answer},110")
    path.write_text("\n".join(rows) + "\n")
    return path


def text_of(tokens: Tokens) -> str:
    return "".join(CHARACTERS[token - 1] for token in tokens)


@pytest.fixture(scope="module")
def mazes() -> Tokens:
    task = MazeConfig(size=9, train_examples=80, valid_examples=10, test_examples=10).build()
    return np.concatenate([task.split(name).inputs for name in ("train", "valid", "test")])


def test_a_file_as_the_public_one(mazes: Tokens, tmp_path: Path) -> None:
    path = written(tmp_path / "m.csv", mazes, solved(mazes, 9))
    config = MazeConfig(file=str(path), valid_examples=10, test_examples=10)
    task = config.build(tmp_path)
    assert isinstance(task, MazeTask)
    assert (task.size, len(task.split("train"))) == (9, 80)
    check_task(config)
    whole = task.read(path, examples=3)
    assert np.array_equal(whole.inputs, mazes[:3])
    assert np.array_equal(whole.labels, solved(mazes[:3], 9))
    bare = written(tmp_path / "bare.csv", mazes[:5])
    assert np.array_equal(read_mazes(bare, 9).labels, solved(mazes[:5], 9))


def test_the_hub(mazes: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = mazes[:20][:, symmetries(9)[3]]
    written(tmp_path / "train.csv", np.concatenate([images[:5], mazes[20:]]))
    written(tmp_path / "test.csv", mazes[:20])
    module = types.ModuleType("huggingface_hub")
    module.hf_hub_download = lambda repo, name, repo_type: str(tmp_path / name)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    task = MazeConfig(hub="some/maze", valid_examples=10, test_examples=20).build()
    sizes = {name: len(task.split(name)) for name in ("train", "valid", "test")}  # type: ignore[arg-type]
    assert sizes == {"train": 70, "valid": 10, "test": 20}, "images of test are left out"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no column 'question', only nothing"),
        ("a,b\n1,2\n", "has no column 'question', only a, b"),
        ("question,answer\n", "holds no maze"),
        ("question,answer\nS  G,\n", "4 characters are no square maze"),
        ("question,answer\nS       G,\nS  G,\n", "line 3: the question has 4 characters"),
        ("question,answer\nS   x   G,\n", "line 2: the question holds 'x'"),
        ("question,answer\nS        ,\n", "line 2: the question needs exactly one G, and has 0"),
        ("question,answer\nS# ## ##G,\n", "line 2: no way leads from S to G"),
        ("question,answer\nS       G,Soo oo  G\n", "line 2: the answer is no shortest path"),
        ("question,answer\nS       G,Soo  o\n", "line 2: the answer has 6 characters"),
        ("question,answer\nS       G\n", "line 2: has 1 columns, the header promises 2"),
        ("question,answer\n\"S  ", "has 1 columns"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_good_is_a_line(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        MazeConfig(file=str(path), valid_examples=1, test_examples=1).build()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00question", b"question\n\x00\x00"])
def test_a_file_that_is_no_text_is_a_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(content)
    for name in (path, tmp_path, tmp_path / "none.csv"):
        with pytest.raises(UserError):
            MazeConfig(file=str(name)).build()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"path": [5, 5]}, "an even number within"),
        ({"path": [8, 4]}, "an even number within"),
        ({"file": "a", "hub": "b"}, "exclude each other"),
        ({"file": "a", "braid": 0.5}, "braid 0.5 is for drawn mazes"),
        ({"size": 4}, "greater than or equal to 5"),
    ],
)
def test_keys_that_do_not_fit_are_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MazeConfig(**keys)


def test_paths_that_no_maze_has_are_a_line() -> None:
    with pytest.raises(UserError, match=r"task.path: \[40, 60\] gives 0 of the 84 examples asked"):
        MazeConfig(size=5, path=[40, 60], **SMALL).build()
