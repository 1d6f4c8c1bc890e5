"""Grids of 16 digits: every notation, generated puzzles, and the task as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trm.config import experiment_from
from trm.errors import UserError
from trm.tasks.sudoku.files import read_puzzles, solve_file
from trm.tasks.sudoku.generator import dig, grids
from trm.tasks.sudoku.grid import parse, show
from trm.tasks.sudoku.notation import written
from trm.tasks.sudoku.rules import Boards, Box, is_solved
from trm.tasks.sudoku.task import SudokuConfig

BOX = Box(4, 4)


def sample(count: int = 2, blanks: int = 100) -> tuple[Boards, Boards]:
    rng = np.random.default_rng(4)
    solved = grids(count, BOX, rng)
    return dig(solved, np.full(count, blanks), BOX, rng), solved


PUZZLES, SOLVED = sample()
ALPHABETS = {
    "to G": "0123456789ABCDEFG", "lower case": ".123456789abcdefg", "letters": ".ABCDEFGHIJKLMNOP",
    "letters and 0": "0abcdefghijklmnop", "from 0": "-0123456789ABCDEF",
    "crosses": "x123456789ABCDEFG",
}  # fmt: skip
NUMBERS = {"numbers": [".", *map(str, range(1, 17))], "numbers and 0": [*map(str, range(17))],
           "numbers from 0": ["_", *map(str, range(16))]}  # fmt: skip


def letters(cells: Boards, alphabet: str) -> str:
    return "".join(alphabet[cell] for cell in cells)


def grid(signs: list[str], between: str = "") -> list[str]:
    """Rows with box lines."""
    rows = []
    for row in range(16):
        cells = signs[16 * row : 16 * row + 16]
        rows.append("|".join(between.join(cells[k : k + 4]) for k in range(0, 16, 4)))
        if row in (3, 7, 11):
            rows.append("----+----+----+----")
    return rows


@pytest.mark.parametrize("alphabet", ALPHABETS.values(), ids=ALPHABETS)
@pytest.mark.parametrize("layout", ["lines", "both", "table", "grids", "framed grids"])
def test_letters(tmp_path: Path, alphabet: str, layout: str) -> None:
    rows = [letters(p, alphabet) for p in PUZZLES]
    answers = [letters(s, alphabet) for s in SOLVED]
    both = [f"{p},{s}" for p, s in zip(rows, answers, strict=True)]
    lines = {
        "lines": rows,
        "both": both,
        "table": ["quizzes,solutions", *both],
        "grids": [line for p in rows for line in [*(p[k : k + 16] for k in range(0, 256, 16)), ""]],
        "framed grids": [line for p in rows for line in [*grid(list(p)), ""]],
    }[layout]
    path = tmp_path / "puzzles.txt"
    path.write_text("\n".join(lines))
    file = read_puzzles(path, BOX)
    assert (file.puzzles == PUZZLES).all()
    assert (file.solutions == (SOLVED if layout in ("both", "table") else 0)).all()


@pytest.mark.parametrize("numbers", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("layout", ["lines", "commas", "table", "grids", "framed grids"])
def test_numbers(tmp_path: Path, numbers: list[str], layout: str) -> None:
    rows = [[numbers[cell] for cell in p] for p in PUZZLES]
    lines = {
        "lines": [" ".join(row) for row in rows],
        "commas": [",".join(row) for row in rows],
        "table": ["question;stars", *(" ".join(row) + ";3" for row in rows)],
        "grids": [
            line
            for row in rows
            for line in [*(" ".join(row[k : k + 16]) for k in range(0, 256, 16)), ""]
        ],
        "framed grids": [line for row in rows for line in [*grid(row, " "), ""]],
    }[layout]
    path = tmp_path / "puzzles.txt"
    path.write_text("\n".join(lines))
    assert (read_puzzles(path, BOX).puzzles == PUZZLES).all()


def test_puzzles_of_a_file_are_solved(tmp_path: Path) -> None:
    path = tmp_path / "puzzles.txt"
    path.write_text("\n".join(map(written, PUZZLES)))
    assert (solve_file(read_puzzles(path, BOX), BOX).solution == SOLVED).all()


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("H" + "1" * 255, "has the character 'H'; use 1 to 9 and A to G, and 0 or . for blank"),
        ("1" * 255, "has 255 cells; box [4, 4] needs 256"),
        (" ".join(["17", *["1"] * 255]), "has the character '!'"),
        ("0" * 81, "set task.box to [3, 3]"),
        ("11" + "0" * 254, "no solution"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, cells: str, words: str) -> None:
    path = tmp_path / "puzzles.txt"
    path.write_text(f"puzzle\n{cells}\n")
    with pytest.raises(UserError) as caught:
        solve_file(read_puzzles(path, BOX), BOX)
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert words in str(caught.value)
    with pytest.raises(UserError):
        parse(cells, BOX)


def test_what_is_shown_is_read_again() -> None:
    puzzle = PUZZLES[0]
    assert (parse(show(puzzle, BOX), BOX) == puzzle).all()
    assert (parse(show(SOLVED[0], BOX, given=puzzle), BOX) == SOLVED[0]).all()
    assert (parse(" ".join(map(str, puzzle)), BOX) == puzzle).all()
    assert (parse(written(puzzle).replace("0", "-"), BOX) == puzzle).all()
    assert len({len(line) for line in show(puzzle, BOX).splitlines()}) == 1


def test_the_task_is_made_and_augmented() -> None:
    config = SudokuConfig(
        box=(4, 4), blanks=(64, 128), train_examples=20, valid_examples=4, test_examples=4
    )
    task = config.build()
    assert (task.vocab_size, task.seq_len) == (18, 256)
    train = task.split("train")
    assert task.verify(train.inputs, train.labels).all()
    assert len(set((train.inputs == 1).sum(axis=1).tolist())) > 5
    inputs, labels = task.augment(train.inputs, train.labels, np.random.default_rng(0))
    assert (inputs != train.inputs).any()
    assert task.verify(inputs, labels).all()
    assert task.symmetry_keys(inputs, labels) == task.symmetry_keys(train.inputs, train.labels)
    assert is_solved((labels - 1).astype(np.uint8), BOX).all()


def test_a_model_trains_on_it() -> None:
    from trm.training.trainer import Trainer

    experiment = experiment_from({
        "task": {"name": "sudoku", "box": [4, 4], "blanks": 30, "train_examples": 8,
                 "valid_examples": 4, "test_examples": 4},
        "model": {"hidden_size": 8, "num_heads": 2, "H_cycles": 1, "L_cycles": 1,
                  "halt_max_steps": 1, "puzzle_emb_len": 1},
        "train": {"batch_size": 4, "budget": {"steps": 2}, "reports": 1},
        "diagnostics": {"probe": None},
    })  # fmt: skip
    [report] = Trainer(experiment, experiment.task.build()).run()
    assert report.step == 2
