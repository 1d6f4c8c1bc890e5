from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from trm.tasks.picture import WRONG

PUZZLE, SOLUTION = "12.4341221434.21", "1234341221434321"


def digits(grid: str) -> str:
    return "".join(re.findall(r"[0-9.]", grid))


def test_it_shows_a_grid_a_step_with_the_halting_probability(cli: Any, sudoku_run: Path) -> None:
    result = cli("solve", sudoku_run, PUZZLE)
    assert (result.code, result.err) == (0, "")
    first, *steps = re.split(r"\n\nstep ", result.out)
    assert digits(first) == PUZZLE
    assert len(steps) == 3
    for number, text in enumerate(steps, 1):
        head, _, grid = text.partition("\n")
        found = re.fullmatch(r"(\d+)  halting probability (\d\.\d{3})  (not )?solved", head)
        assert found is not None
        assert int(found[1]) == number
        assert 0.0 <= float(found[2]) <= 1.0
        assert (digits(grid) == SOLUTION) == (found[3] is None)


def test_json_is_a_line_a_step(cli: Any, sudoku_run: Path) -> None:
    result = cli("solve", sudoku_run, PUZZLE, "--json", "--steps", "5")
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5]
    for row in rows:
        assert len(row["answer"]) == 16
        assert 0.0 <= row["halt_probability"] <= 1.0
        assert row["solved"] == ("".join(str(t - 1) for t in row["answer"]) == SOLUTION)


def test_standard_input_and_examples_of_a_split(
    cli: Any, sudoku_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = cli("solve", sudoku_run, PUZZLE).out
    monkeypatch.setattr("sys.stdin", io.StringIO(PUZZLE + "\n"))
    assert cli("solve", sudoku_run, "-").out == expected
    shown = [cli("solve", sudoku_run, f"valid:{index}").out for index in range(3)]
    assert len(set(shown)) == 3
    assert any("  solved" in text for text in shown)


@pytest.mark.parametrize(
    ("puzzle", "message"),
    [
        ("12.4", "puzzle"),
        (PUZZLE + "1", "puzzle"),
        (PUZZLE.replace("3", "z"), "puzzle"),
        (PUZZLE.replace("3", "9"), "puzzle"),
        ("11" + PUZZLE[2:], "puzzle"),
        ("", "puzzle"),
        ("valid:30", "needs an index from 0 to 29"),
        ("valid:-1", "needs an index from 0 to 29"),
        ("valid:x", "needs an index from 0 to 29"),
        ("valid:²", "needs an index from 0 to 29"),
        ("valid:" + "9" * 5000, "needs an index from 0 to 29"),
    ],
)
def test_a_bad_puzzle_is_one_line(
    puzzle: str, message: str, refused: Callable[..., str], sudoku_run: Path
) -> None:
    assert message in refused("solve", sudoku_run, puzzle)


def test_bad_arguments(refused: Callable[..., str], sudoku_run: Path, tmp_path: Path) -> None:
    assert "holds no checkpoint" in refused("solve", tmp_path, PUZZLE)
    assert "must be a whole number from 1" in refused("solve", sudoku_run, PUZZLE, "--steps", "0")
    assert "required: puzzle" in refused("solve", sudoku_run)
    assert "--device: 'tpu9'" in refused("solve", sudoku_run, PUZZLE, "--device", "tpu9")


def test_arrows_are_written_in_letters(
    cli: Any, refused: Callable[..., str], config: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert cli("train", config({"train.budget.steps": 1}), "--out", out).code == 0
    result = cli("solve", out, "Rdl udl lll", "--steps", "1")
    assert result.code == 0
    assert result.out.startswith("[→] ↓  ← \n")
    assert "needs 9 letters" in refused("solve", out, "Rdl")
    assert "exactly one letter in upper case" in refused("solve", out, "rdludllll")


def test_the_rules_decide_where_a_puzzle_has_several_solutions(cli: Any, sudoku_run: Path) -> None:
    result = cli("solve", sudoku_run, "12" + "." * 14, "--json")
    assert (result.code, result.err) == (0, "")
    rows = [json.loads(line) for line in result.out.splitlines()]
    for row in rows:
        grid = [row["answer"][i : i + 4] for i in range(0, 16, 4)]
        columns = [list(column) for column in zip(*grid, strict=True)]
        right = all(sorted(unit) == [2, 3, 4, 5] for unit in grid + columns)
        assert not row["solved"] or (right and grid[0][:2] == [2, 3])


def test_a_picture_of_the_puzzle_and_its_answer(
    cli: Any, refused: Callable[..., str], sudoku_run: Path, tmp_path: Path
) -> None:
    file = tmp_path / "grid.svg"
    result = cli("solve", sudoku_run, PUZZLE, "--picture", file)
    assert (result.code, result.err) == (0, "")
    assert result.out.endswith(f"\ndrawn in {file}\n")
    title = ElementTree.parse(file).getroot().findtext("{*}title")
    last = re.findall(r"(?:not )?solved", result.out)[-1]
    assert title == f"puzzle, step 3: {last}"
    found = {}
    for index in range(30):
        shown = cli("solve", sudoku_run, f"valid:{index}", "--picture", file).out
        solved = "not solved" not in shown.rpartition("step ")[2]
        text = file.read_text()
        assert ("label" in text) == (not solved), "what is solved needs no label beside it"
        assert (WRONG in text) == (not solved)
        found[solved] = index
    assert set(found) == {True, False}, "a model that solves some of them"
    json_lines = cli("solve", sudoku_run, PUZZLE, "--json", "--picture", file)
    assert all(json.loads(line) for line in json_lines.out.splitlines())
    for path, words in (
        (tmp_path / "grid.png", "must end in .svg, which is what is written"),
        (tmp_path / "no" / "grid.svg", "cannot be written: No such file"),
    ):
        assert words in refused("solve", sudoku_run, PUZZLE, "--picture", path, "--json")
