"""Files of Sudoku puzzles, read and checked: text, plain or packed, in any layout of `layouts`."""

from __future__ import annotations

import csv
import os
import re
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm.errors import UserError
from trm.tasks.base import Progress
from trm.tasks.sudoku.grid import board_values, malformed, unsound
from trm.tasks.sudoku.layouts import PuzzleRow, puzzle_rows, short
from trm.tasks.sudoku.notation import ALPHABET, written
from trm.tasks.sudoku.packed import DAMAGED, text_lines
from trm.tasks.sudoku.rules import Boards, Box, is_solved, keeps_givens
from trm.tasks.sudoku.solver import Solutions, solve

_BATCH = 65_536


@dataclass(frozen=True)
class PuzzleFile:
    """The puzzles of one file, format and given solutions checked, not yet solved.

    Attributes:
        path: the file.
        puzzles: uint8 `[n, cells]`, 0 is blank.
        solutions: uint8 `[n, cells]`, zeros where the file gives none.
        lines: int64 `[n]`, where each puzzle stands, from 1.
    """

    path: Path
    puzzles: Boards
    solutions: Boards
    lines: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.puzzles)

    def take(self, index: NDArray[np.intp]) -> PuzzleFile:
        """Some of the puzzles."""
        return PuzzleFile(self.path, self.puzzles[index], self.solutions[index], self.lines[index])


def read_puzzles(
    path: Path, box: Box, progress: Progress | None = None, examples: int | None = None
) -> PuzzleFile:
    """Read the puzzles of a file, in any layout of `trm.tasks.sudoku.layouts`.

    Plain, or packed with gzip, zstandard or zip.

    Args:
        examples: the first so many, after which nothing is looked at; None is all.

    Raises:
        UserError: the file cannot be read or is empty, or the first line that is no puzzle of this
            box or whose solution is wrong.
    """
    parts: list[PuzzleFile] = []
    rows: list[PuzzleRow] = []
    size = os.path.getsize(readable(path))
    try:
        with closing(path.open("rb")) as raw:
            for row in islice(puzzle_rows(text_lines(raw), box, str(path)), examples):
                rows.append(row)
                if len(rows) == _BATCH:
                    parts.append(_checked(rows, path, box))
                    rows = []
                    if progress is not None:
                        # Read to its end, it is closed.
                        share = 1.0 if raw.closed else min(1.0, raw.tell() / size)
                        progress("reading puzzles", share)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: is not a text file; give a file with one puzzle a line"
        ) from error
    except UserError:
        raise
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path}: {error}; give a file with one puzzle a line") from error
    except DAMAGED as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read: {reason}") from error
    parts.append(_checked(rows, path, box))
    if not sum(map(len, parts)):
        raise UserError(f"{path}: holds no puzzle; give a file with one puzzle a line")
    return PuzzleFile(
        path,
        np.concatenate([part.puzzles for part in parts]),
        np.concatenate([part.solutions for part in parts]),
        np.concatenate([part.lines for part in parts]),
    )


def readable(path: Path) -> Path:
    """The same path, of a file that can be opened.

    Raises:
        UserError: there is no such file, or it cannot be opened.
    """
    try:
        path.open("rb").close()
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: is no file of its own; give the path of a puzzle file")
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such file; give the path of a puzzle file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    return path


def solve_file(file: PuzzleFile, box: Box, progress: Progress | None = None) -> Solutions:
    """Solve every puzzle, proving that its solution is the only one.

    Raises:
        UserError: the first line whose puzzle has no solution or several.
    """
    found = solve(file.puzzles, box, progress=progress)
    bad = np.flatnonzero(found.count != 1)
    if len(bad):
        first = bad[0]
        _fail(file.path, file.lines[first], file.puzzles[first], unsound(found.count[first]))
    return found


def _checked(rows: list[PuzzleRow], path: Path, box: Box) -> PuzzleFile:
    """Rows as arrays.

    Raises:
        UserError: the first row that is malformed, or whose solution is wrong.
    """
    allowed = re.compile(f"[{ALPHABET[: box.side + 1]}]{{{box.cells}}}")
    for number, puzzle, answer in rows:
        for what, cells in (("puzzle", puzzle), ("solution", answer)):
            if not allowed.fullmatch(cells) and (cells or what == "puzzle"):
                fault = f"the {what} {malformed(cells, box)}"
                raise UserError(f"{path}, line {number}", short(cells), fault)
    puzzles = board_values([puzzle for _, puzzle, _ in rows], box)
    solutions = board_values([answer or "0" * box.cells for _, _, answer in rows], box)
    lines = np.array([number for number, _, _ in rows], dtype=np.int64)
    is_given = np.array([bool(answer) for _, _, answer in rows], dtype=bool)
    right = is_solved(solutions, box) & keeps_givens(puzzles, solutions)
    wrong = np.flatnonzero(is_given & ~right)
    if len(wrong):
        first = wrong[0]
        fault = "is not a solution of its puzzle; correct it, or leave it out to have it computed"
        _fail(path, lines[first], solutions[first], fault)
    return PuzzleFile(path, puzzles, solutions, lines)


def _fail(path: Path, line: int, cells: Boards, fault: str) -> None:
    raise UserError(f"{path}, line {line}", written(cells), fault)
