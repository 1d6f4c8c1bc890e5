"""Files of Sudoku puzzles: one a line, or a CSV with a header; plain or gzip."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm.errors import UserError
from trm.tasks.base import Progress
from trm.tasks.sudoku.grid import board_values, malformed, unsound
from trm.tasks.sudoku.rules import Boards, Box, is_solved, keeps_givens
from trm.tasks.sudoku.solver import Solutions, solve

_PUZZLE = {"question", "puzzle", "puzzles", "quiz", "quizzes"}
_ANSWER = {"answer", "answers", "solution", "solutions"}
_BATCH = 65_536

PuzzleRow = tuple[int, str, str]
"""Line number from 1, puzzle, solution (empty if the line has none)."""


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


def read_puzzles(path: Path, box: Box, progress: Progress | None = None) -> PuzzleFile:
    """Read every puzzle of a file.

    A line is a puzzle (`0` or `.` blank), or a puzzle and its solution separated by comma,
    semicolon or white space. A first line that names a column `question` or `puzzle` makes the file
    a CSV (Sudoku-Extreme's is `source,question,answer,rating`); an answer column may be there.
    Empty lines, and lines that start with `#`, are skipped. Gzip is known by its content.

    Raises:
        UserError: the file cannot be read or is empty, or the first line that is no puzzle of this
            box or whose solution is wrong.
    """
    parts: list[PuzzleFile] = []
    rows: list[PuzzleRow] = []
    size = os.path.getsize(readable(path))
    try:
        with closing(path.open("rb")) as raw:
            for row in _rows(raw, path):
                rows.append(row)
                if len(rows) == _BATCH:
                    parts.append(_checked(rows, path, box))
                    rows = []
                    if progress is not None:
                        progress("reading puzzles", min(1.0, raw.tell() / size))
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: is not a text file; give a file with one puzzle a line"
        ) from error
    except (OSError, EOFError, zlib.error) as error:  # the last two: a damaged gzip file
        reason = getattr(error, "strerror", None) or error
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


def _rows(raw: io.BufferedReader, path: Path) -> Iterator[PuzzleRow]:
    packed = raw.peek(2)[:2] == b"\x1f\x8b"
    binary = gzip.GzipFile(fileobj=raw) if packed else raw
    text = io.TextIOWrapper(binary, encoding="utf-8-sig", newline=None)
    columns: tuple[int, int | None] | None = None
    first = True
    for number, line in enumerate(text, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if first:
            first = False
            columns = _columns(line)
            if columns is not None:
                continue
        yield (number, *_cells(line, columns, f"{path}, line {number}"))


def _columns(line: str) -> tuple[int, int | None] | None:
    """The columns of puzzle and solution, if the line is a header."""
    names = [name.strip().lower() for name in line.split(",")]
    puzzle = [i for i, name in enumerate(names) if name in _PUZZLE]
    answer = [i for i, name in enumerate(names) if name in _ANSWER]
    return (puzzle[0], answer[0] if answer else None) if puzzle else None


def _cells(line: str, columns: tuple[int, int | None] | None, where: str) -> tuple[str, str]:
    if columns is None:
        fields = re.split(r"[,;\s]+", line)
        if len(fields) > 2:
            remedy = f"has {len(fields)} columns; a line is a puzzle and, if known, its solution"
            raise UserError(where, _short(line), remedy)
        return fields[0], fields[1] if len(fields) == 2 else ""
    fields = next(csv.reader([line])) if '"' in line else line.split(",")
    puzzle, answer = columns
    needed = max(puzzle, answer or 0) + 1
    if len(fields) < needed:
        remedy = f"has {len(fields)} columns; the header promises {needed} or more"
        raise UserError(where, _short(line), remedy)
    return fields[puzzle].strip(), fields[answer].strip() if answer is not None else ""


def _checked(rows: list[PuzzleRow], path: Path, box: Box) -> PuzzleFile:
    """Rows as arrays.

    Raises:
        UserError: the first row that is malformed, or whose solution is wrong.
    """
    allowed = re.compile(f"[0-{box.side}.]{{{box.cells}}}")
    for number, puzzle, answer in rows:
        for what, cells in (("puzzle", puzzle), ("solution", answer)):
            if not allowed.fullmatch(cells) and (cells or what == "puzzle"):
                fault = f"the {what} {malformed(cells, box)}"
                raise UserError(f"{path}, line {number}", _short(cells), fault)
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
    raise UserError(f"{path}, line {line}", "".join(map(str, cells)), fault)


def _short(text: str) -> str:
    return text if len(text) <= 90 else text[:87] + "..."
