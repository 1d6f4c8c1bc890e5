"""The layouts in which people keep puzzles, told apart by a file's first lines.

- A table with a header that names a column of puzzles (`question`, `puzzle`, `quizzes`, ...) and
  maybe one of solutions; between columns a comma, semicolon, tab or bar; fields may be quoted.
- What `trm tasks --write` writes: a table with the columns `input` and `label`, in tokens.
- A puzzle a line; other columns may stand beside it (a source, a score), and the next field that
  looks like a puzzle is its solution.
- Grids: a row of cells a line, with box lines and headings between them or not (`.sdk`, `.ss`).

Blank is `0`, `.`, `*`, `_` or `?`. Empty lines are skipped, and `#` begins a comment.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator

from trm.errors import UserError
from trm.tasks.sudoku.grid import BLANKS, malformed
from trm.tasks.sudoku.rules import Box

PuzzleRow = tuple[int, str, str]
"""Line number from 1, puzzle, solution (empty if there is none)."""

_PUZZLE = ("question", "puzzle", "puzzles", "quiz", "quizzes", "sudoku", "unsolved", "clues")
_ANSWER = ("answer", "answers", "solution", "solutions", "solved")
_TOKENS = ("input", "label")
_DRAWING = str.maketrans("", "", " \t|+-,;!:=")
_COMMENT = re.compile(r"(^|\s)#.*")
_NAME = re.compile(r"[^\W\d][\w .()/-]*")
_PLAIN_BLANK = str.maketrans(dict.fromkeys(BLANKS, "0"))


def puzzle_rows(lines: Iterable[str], box: Box, source: str) -> Iterator[PuzzleRow]:
    """The puzzles of a file's lines, blanks as `0`; their cells are not looked at yet.

    Raises:
        UserError: the line where a layout breaks, with what it should hold.

    >>> list(puzzle_rows(["id;quiz", "7;1.....4..2..2..1"], Box(2, 2), "f"))
    [(2, '1000004002002001', '')]
    >>> list(puzzle_rows(["1.|..", "..|4.", "--+--", ".2|..", "2.|.1"], Box(2, 2), "f"))
    [(1, '1000004002002001', '')]
    """
    numbered = _without_comments(lines)
    for number, line in numbered:
        if (columns := _Columns.of(line)) is not None:
            yield from columns.rows(numbered, source)
            return
        if _boards(line, box):
            yield from _lines(_again(number, line, numbered), box, source)
            return
        if _row_of_grid(line, box) or line.startswith("["):
            yield from _grids(_again(number, line, numbered), box, source)
            return
        if not line.translate(_DRAWING) or _is_header(line) or _heading(line) is not None:
            continue
        _refuse(number, line, box, source)


def _without_comments(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Lines with their numbers from 1, comments and white space at the ends taken off.

    Empty lines stay: they stand between grids.
    """
    for number, line in enumerate(lines, 1):
        yield number, (_COMMENT.sub("", line) if "#" in line else line).strip()


def _again(number: int, line: str, rest: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield number, line
    yield from rest


class _Columns:
    """A table's header: which columns hold puzzles and solutions, and what stands between them."""

    def __init__(self, puzzle: int, answer: int | None, between: str, tokens: bool) -> None:
        self.puzzle, self.answer, self.between, self.tokens = puzzle, answer, between, tokens

    @classmethod
    def of(cls, line: str) -> _Columns | None:
        """The columns, if the line is a header that names them."""
        between = max(",;\t|", key=line.count)
        names = [name.strip().lower() for name in _fields(line, between)]
        puzzles = [names.index(name) for name in _PUZZLE if name in names]
        answers = [names.index(name) for name in _ANSWER if name in names]
        if puzzles:
            return cls(puzzles[0], answers[0] if answers else None, between, False)
        if all(name in names for name in _TOKENS):
            return cls(names.index("input"), names.index("label"), between, True)
        return None

    def rows(self, numbered: Iterable[tuple[int, str]], source: str) -> Iterator[PuzzleRow]:
        needed = max(self.puzzle, self.answer or 0) + 1
        for number, line in numbered:
            if not line:
                continue
            fields = _fields(line, self.between)
            if len(fields) < needed:
                remedy = f"has {len(fields)} columns; the header promises {needed} or more"
                raise UserError(f"{source}, line {number}", short(line), remedy)
            puzzle = fields[self.puzzle].strip()
            answer = fields[self.answer].strip() if self.answer is not None else ""
            if self.tokens:
                puzzle, answer = _digits(puzzle), _digits(answer)
            yield number, puzzle.translate(_PLAIN_BLANK), answer.translate(_PLAIN_BLANK)


def _fields(line: str, between: str) -> list[str]:
    return next(csv.reader([line], delimiter=between)) if '"' in line else line.split(between)


def _digits(tokens: str) -> str:
    """Cells of tokens with spaces between them: 1 is blank, digit d is d + 1."""
    return "".join(
        str(int(token) - 1) if token.isascii() and token.isdigit() and len(token) < 4 else "x"
        for token in tokens.split()
    )


def _lines(numbered: Iterable[tuple[int, str]], box: Box, source: str) -> Iterator[PuzzleRow]:
    """A puzzle a line."""
    for number, line in numbered:
        if not line:
            continue
        boards = _boards(line, box) or [max(_loose_fields(line), key=len)]
        yield number, boards[0], boards[1] if len(boards) > 1 else ""


def _loose_fields(line: str) -> list[str]:
    return [part.strip("\"'") for part in re.split(r"[,;|\s]+", line)]


def _boards(line: str, box: Box) -> list[str]:
    """The fields of a line that look like puzzles: more than half of the cells, and only such."""
    fields = _loose_fields(line)
    symbols = "0123456789"[: box.side + 1]
    if len(fields) >= box.cells and all(len(field) <= 1 for field in fields):
        fields = ["".join(fields)]  # a column a cell
    plain = [field.translate(_PLAIN_BLANK) for field in fields]
    return [one for one in plain if 2 * len(one) > box.cells and not one.strip(symbols)]


def _row_of_grid(line: str, box: Box) -> str:
    """The cells of a grid's row, blanks as `0`; empty if the line is none."""
    cells = line.translate(_DRAWING).translate(_PLAIN_BLANK)
    symbols = "0123456789"[: box.side + 1]
    return cells if len(cells) == box.side and not cells.strip(symbols) else ""


def _heading(line: str) -> str | None:
    """What a line between grids says, in lower case: a section's name or a title; else None."""
    if line.startswith("[") and line.endswith("]"):
        return line[1:-1].strip().lower()
    return line.lower() if re.fullmatch(r"[^\W\d]{2,}[^,;|]*", line) else None


def _grids(numbered: Iterable[tuple[int, str]], box: Box, source: str) -> Iterator[PuzzleRow]:
    """A row of cells a line. Of a file with sections (`[Puzzle]`, `[State]`) only puzzles count."""
    rows: list[str] = []
    begun, counts = 0, True
    for number, line in numbered:
        ends = not line and len(rows) % box.rows != 0
        title = _heading(line) if line else None
        if rows and (ends or title is not None):
            break
        if title is not None:
            counts = not line.startswith("[") or title == "puzzle"
            continue
        if not line.translate(_DRAWING) or not counts:
            continue
        row = _row_of_grid(line, box)
        if not row:
            _refuse(number, line, box, source)
        begun = begun if rows else number
        rows.append(row)
        if len(rows) == box.side:
            yield begun, "".join(rows), ""
            rows = []
    if rows:
        what = f"begins a grid of {len(rows)} rows; box {[box.rows, box.cols]} needs {box.side}"
        raise UserError(f"{source}, line {begun}", rows[0], what)


def _is_header(line: str) -> bool:
    """Whether a line is empty, or names columns that we do not know."""
    return not line or all(map(_NAME.fullmatch, filter(None, _loose_fields(line))))


def _refuse(number: int, line: str, box: Box, source: str) -> None:
    """
    Raises:
        UserError: the line is neither a puzzle nor a row of a grid.
    """
    field = max(_loose_fields(line), key=len)
    fault = f"the puzzle {malformed(field.translate(_PLAIN_BLANK), box)}"
    fault += f", in a line or in {box.side} lines of {box.side}"
    raise UserError(f"{source}, line {number}", short(field), fault)


def short(text: str) -> str:
    """A text for a message."""
    return text if len(text) <= 90 else text[:87] + "..."
