"""Every sign for a blank, alphabet, header and layout in which people keep puzzles, is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trm.tasks.sudoku.files import read_puzzles
from trm.tasks.sudoku.generator import dig, grids
from trm.tasks.sudoku.rules import Boards, Box

DIGITS, LETTERS, HEXADECIMAL = "?123456789ABCDEFG", "?ABCDEFGHIJKLMNOP", "?0123456789ABCDEF"
KINDS = [(Box(3, 3), DIGITS), (Box(4, 4), DIGITS), (Box(4, 4), LETTERS), (Box(4, 4), HEXADECIMAL)]
HEADERS = ("quizzes,solutions", "puzzle,solution", "question,answer", "Puzzle,Solution")
BLANKS = ".0-_*xX?"


@pytest.fixture(scope="module")
def made() -> dict[Box, tuple[Boards, Boards]]:
    """Two puzzles of each size, and their solutions."""
    rng = np.random.default_rng(0)
    whole = {box: grids(2, box, rng) for box in {box for box, _ in KINDS}}
    blanks = {9: 40, 16: 90}
    return {
        box: (dig(grid, np.full(2, blanks[box.side]), box, rng), grid)
        for box, grid in whole.items()
    }


def rows(board: Boards, box: Box, signs: str, blank: str, between: str = "") -> list[str]:
    cells = [blank if digit == 0 else signs[digit] for digit in board.ravel()]
    return [
        between.join(cells[begin : begin + box.side]) for begin in range(0, box.cells, box.side)
    ]


def boxed(board: Boards, box: Box, signs: str, blank: str) -> str:
    line = "+".join(["-" * (2 * box.cols + 1)] * box.rows)
    found = []
    for index, row in enumerate(rows(board, box, signs, blank)):
        parts = [" ".join(row[k : k + box.cols]) for k in range(0, box.side, box.cols)]
        found += [*([line] if index % box.rows == 0 else []), "|".join(f" {p} " for p in parts)]
    return "\n".join([*found, line])


Layout = Callable[[Boards, Box, str, str], str]
GRIDS: dict[str, Layout] = {
    "a line": lambda *one: "".join(rows(*one)),
    "a grid": lambda *one: "\n".join(rows(*one)) + "\n",
    "a grid under a comment": lambda *one: "# the next\n" + "\n".join(rows(*one)),
    "a grid under a title": lambda *one: "Grid 01\n" + "\n".join(rows(*one)),
    "cells apart": lambda *one: "\n".join(rows(*one, " ")) + "\n",
    "cells by commas": lambda *one: "\n".join(rows(*one, ",")) + "\n",
    "boxes": lambda *one: boxed(*one) + "\n",
}


@pytest.mark.parametrize("blank", BLANKS)
@pytest.mark.parametrize(("box", "signs"), KINDS)
def test_it_is_read(
    box: Box, signs: str, blank: str, made: dict[Box, tuple[Boards, Boards]], tmp_path: Path
) -> None:
    if signs == HEXADECIMAL and blank == "0":
        return  # there it is a digit
    puzzles, solutions = made[box]
    file = tmp_path / "puzzles.txt"

    def read(data: bytes, with_solutions: bool = False) -> None:
        file.write_bytes(data)
        found = read_puzzles(file, box)
        assert np.array_equal(found.puzzles, puzzles.reshape(2, -1)), data.decode("latin-1")
        if with_solutions:
            assert np.array_equal(found.solutions, solutions.reshape(2, -1))

    for layout in GRIDS.values():
        text = "\n".join(layout(puzzle, box, signs, blank) for puzzle in puzzles)
        read(text.encode())
        read(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
        read(text.lower().encode())
    pairs = [
        ",".join("".join(rows(board, box, signs, blank)) for board in pair)
        for pair in zip(puzzles, solutions, strict=True)
    ]
    read("\n".join(pairs).encode(), with_solutions=True)
    for header in HEADERS:
        read("\n".join([header, *pairs]).encode(), with_solutions=True)


@pytest.mark.parametrize("blank", BLANKS[:6])
def test_sixteen_in_numbers(
    blank: str, made: dict[Box, tuple[Boards, Boards]], tmp_path: Path
) -> None:
    box = Box(4, 4)
    puzzles, _ = made[box]
    file = tmp_path / "puzzles.txt"
    for between in (" ", ",", ", ", "\t", ";"):
        for width in (0, 2):
            texts = [
                "\n".join(
                    between.join((str(d) if d else blank).rjust(width) for d in row)
                    for row in puzzle.reshape(16, 16)
                )
                for puzzle in puzzles
            ]
            for text in ("\n\n".join(texts), "\n".join(t.replace("\n", between) for t in texts)):
                file.write_text(text)
                assert np.array_equal(read_puzzles(file, box).puzzles, puzzles.reshape(2, -1))
