"""Puzzle files as people have them: each is read, or one line says what was expected."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from trm.errors import UserError
from trm.tasks.sudoku.files import read_puzzles
from trm.tasks.sudoku.layouts import puzzle_rows
from trm.tasks.sudoku.rules import Box

DATA = Path(__file__).parents[2] / "cases" / "data"
FIRST = "530200000000000701000800000160000050000740000000000000000006340007010000200000000"
SMALL, BOX = Box(2, 2), Box(3, 3)
P, S = "1204341221434021", "1234341221434321"
ROWS = [P[i : i + 4] for i in range(0, 16, 4)]


@pytest.mark.parametrize(
    ("name", "count", "solved"),
    [
        ("blank_star.txt", 4, False),
        ("comments.txt", 2, False),
        ("extreme_noheader.csv", 4, True),
        ("grid.txt", 2, False),
        ("header_variants.csv", 3, True),
        ("one.sdk", 1, False),
        ("quoted.csv", 3, True),
        ("tdoku_scored.txt", 4, False),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_files_that_people_have(
    name: str, count: int, solved: bool, packed: bool, tmp_path: Path
) -> None:
    path = DATA / name
    if packed:
        path = tmp_path / name
        path.write_bytes(gzip.compress((DATA / name).read_bytes()))
    file = read_puzzles(path, BOX)
    assert (len(file), bool(file.solutions.any())) == (count, solved)
    assert "".join(map(str, file.puzzles[0])) == FIRST


ONE = {
    "plain": P,
    "underscores": P.replace("0", "_"),
    "question marks": P.replace("0", "?"),
    "dashes": P.replace("0", "-"),
    "crosses": P.replace("0", "x"),
    "large crosses": P.replace("0", "X"),
    "table with dashes": f"id;puzzle\n7;{P.replace('0', '-')}",
    "dashes beside a date": f"2024-01-11,{P.replace('0', '-')}",
    "table with spaces": f"puzzle,stars\n{' '.join(P)},2",
    "quoted": f'"{P}"',
    "quoted with single marks": f"'{P}','7'",
    "score behind": f"{P} 4.5",
    "name before": f"forum 17,{P},9.1",
    "bars": f"7|{P}|3",
    "a column a cell": ",".join(P),
    "cells with spaces": " ".join(P.replace("0", ".")),
    "comment behind": f"{P} # easy",
    "tab header": f"id\tpuzzle\n7\t{P}",
    "bar header": f"id|puzzle\n7|{P}",
    "header in capitals": f"ID;PUZZLE\n7;{P}",
    "header that nobody knows": f"nr,cells,stars\n7,{P},3",
    "one name as header": f"boards\n{P}",
    "header with a title": f"Puzzle list\n\n{P}",
    "tokens": "input,label,difficulty\n"
    f"{' '.join(str(int(c) + 1) for c in P)},{' '.join(str(int(c) + 1) for c in S)},3.5",
    "grid": "\n".join(ROWS),
    "grid with spaces": "\n".join(" ".join(row) for row in ROWS),
    "grid with commas": "\n".join(",".join(row) for row in ROWS),
    "grid with stars": "\n".join(ROWS).replace("0", "*"),
    "grid with underscores": "\n".join(ROWS).replace("0", "_"),
    "grid with dashes": "\n".join(ROWS).replace("0", "-"),
    "grid with dashes in a frame": "+--+--+\n"
    + "\n".join(f"|{r[:2]}|{r[2:]}|" for r in ROWS).replace("0", "-")
    + "\n+--+--+\n",
    "grid with crosses": "\n".join(" ".join(row) for row in ROWS).replace("0", "x"),
    "grid with drawn lines": "\n".join([*ROWS[:2], "----", *ROWS[2:]]),
    "grid in a frame": "+--+--+\n"
    + "\n".join(f"|{r[:2]}|{r[2:]}|" for r in ROWS[:2])
    + "\n+--+--+\n"
    + "\n".join(f"|{r[:2]}|{r[2:]}|" for r in ROWS[2:])
    + "\n+--+--+\n",
    "grid with an empty line between bands": "\n".join([*ROWS[:2], "", *ROWS[2:]]),
    "grid with a title": "Grid 01\n" + "\n".join(ROWS),
    "sections": "[Puzzle]\n" + "\n".join(ROWS) + "\n[State]\n1234\n3412\n",
    "author and sections": "#A me\n#D easy\n[Puzzle]\n" + "\n".join(ROWS),
}


@pytest.mark.parametrize("kind", ONE)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_one_puzzle_in_every_layout(kind: str, end: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "puzzles"
    path.write_bytes((ONE[kind] + "\n").replace("\n", end).encode(encoding))
    file = read_puzzles(path, SMALL)
    assert ["".join(map(str, puzzle)) for puzzle in file.puzzles] == [P]
    if kind == "tokens":
        assert "".join(map(str, file.solutions[0])) == S


def test_a_row_of_dashes_is_blank_where_other_rows_have_them() -> None:
    rows = ["- - - -", "- 1 - 2", "", "2 - 1 -", "- - - -"]
    for text in (rows, [row.replace(" ", "") for row in rows], [*rows, "", *rows]):
        found = [cells for _, cells, _ in puzzle_rows(text, SMALL, "f")]
        assert set(found) == {"0000010220100000"}


def test_several_grids_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "grids.txt"
    grids = ["\n".join(["# easy", *ROWS]), "\n".join(ROWS).replace("0", "_"), "\n".join(ROWS)]
    path.write_bytes("\ufeff".encode() + "\n\n".join(grids).replace("\n", "\r\n").encode())
    file = read_puzzles(path, SMALL)
    assert ["".join(map(str, puzzle)) for puzzle in file.puzzles] == [P] * 3
    assert file.lines.tolist() == [2, 7, 12]


def test_several_grids_know_their_lines() -> None:
    text = ["Grid 01", *ROWS, "Grid 02", *ROWS, "", *ROWS]
    assert [row[0] for row in puzzle_rows(text, SMALL, "f")] == [2, 7, 12]


@pytest.mark.parametrize(
    ("text", "number", "words"),
    [
        ("\n".join(ROWS[:3]), 1, "begins a grid of 3 rows; box [2, 2] needs 4"),
        ("\n".join([*ROWS, "", *ROWS[:3], "", *ROWS]), 6, "begins a grid of 3 rows"),
        ("\n".join([*ROWS[:2], "Grid 02", *ROWS]), 1, "begins a grid of 2 rows"),
        ("\n".join([*ROWS[:3], "123"]), 4, "has 3 cells; box [2, 2] needs 16, in a line or in 4"),
        ("\n".join([*ROWS[:3], "1235"]), 4, "in a line or in 4 lines of 4"),
        ("530200000\n000000701", 1, "has 9 cells; box [2, 2] needs 16, in a line or in 4 lines"),
        (f"{P}\n{P[:-1]}", 2, "has 15 cells"),
        (f"7,{P}\n7,{P[:-1]}5", 2, "has the character '5'"),
        (f"{P},{S[:-1]}", 1, "the solution has 15 cells"),
        (f"{P},{S[4:]}{S[:4]}", 1, "is not a solution of its puzzle"),
        (f"id;puzzle;solution\n7;{P}", 2, "has 2 columns; the header promises 3"),
        (f"id;puzzle\n7;{P};;\n8;{P}5", 3, "has 17 cells"),
        ("input,label\n1 2 3,1 2 3", 2, "has 3 cells"),
        (f"input,label\n{' '.join('9' * 16)},{S}", 2, "the character '8'"),
        ("input,label\nx y,", 2, "has 2 cells"),
        ("3.14\n", 1, "begins a grid of 1 rows"),
        ('{"puzzle": 3}\n', 1, "in a line or in 4 lines of 4"),
        ("<html>\n", 1, "in a line or in 4 lines of 4"),
    ],
)
def test_the_line_says_what_was_expected(
    text: str, number: int, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "puzzles.txt"
    path.write_text(text + "\n")
    with pytest.raises(UserError) as caught:
        read_puzzles(path, SMALL)
    assert str(caught.value).startswith(f"{path}, line {number}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_any_bytes_are_read_or_refused_in_a_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    good = [(text + "\n").encode() for text in ONE.values()]
    path = tmp_path / "spoilt"
    for turn in range(600):
        data = bytearray(good[turn % len(good)])
        for _ in range(int(rng.integers(1, 8))):
            at = int(rng.integers(max(1, len(data))))
            kind = int(rng.integers(4))
            if kind == 0 and data:
                data[at] = int(rng.integers(256))
            elif kind == 1:
                del data[at : at + 1]
            elif kind == 2:
                data[at:at] = bytes(rng.choice(list(b'\n\r\t ,;|"[]#0159.*\x00\xff'), 3).tolist())
            else:
                data = data[: at + 1]
        path.write_bytes(bytes(data))
        try:
            assert len(read_puzzles(path, SMALL)) > 0
        except UserError as error:
            assert str(error).startswith(f"{path}")  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017


def test_only_the_first_examples_are_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "puzzles.txt"
    path.write_text(f"{P}\n{P}\nnot a puzzle\n")
    assert len(read_puzzles(path, SMALL, examples=2)) == 2
    with pytest.raises(UserError, match="line 3"):
        read_puzzles(path, SMALL)


def test_what_is_no_regular_file_is_refused() -> None:
    with pytest.raises(UserError, match="is no file of its own"):
        read_puzzles(Path("/dev/zero"), SMALL)
