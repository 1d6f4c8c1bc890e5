"""The layouts in which people keep puzzles, told apart by a file's first lines.

- A table with a header that names a column of puzzles (`question`, `puzzle`, `quizzes`, ...) and
  maybe one of solutions; between columns a comma, semicolon, tab or bar; fields may be quoted.
- What `trm tasks --write` writes: a table with the columns `input` and `label`, in tokens.
- A puzzle a line; other columns may stand beside it (a source, a score), and the next field that
  looks like a puzzle is its solution.
- Grids: a row of cells a line, with box lines and headings between them or not (`.sdk`, `.ss`).

Blank is `0`, `.`, `-`, `*`, `_`, `?` or `x`; `notation` says what the digits are. Empty lines are
skipped, and `#` begins a comment.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from trm.errors import UserError
from trm.tasks.sudoku.grid import malformed
from trm.tasks.sudoku.notation import of_tokens, one_each, plain, signs
from trm.tasks.sudoku.rules import Box

PuzzleRow = tuple[int, str, str]
"""Line number from 1, puzzle, solution (empty if there is none)."""

_PUZZLE = ("question", "puzzle", "puzzles", "quiz", "quizzes", "sudoku", "unsolved", "clues")
_ANSWER = ("answer", "answers", "solution", "solutions", "solved")
_TOKENS = ("input", "label")
_DRAWING = str.maketrans("", "", " \t|+-,;!:=")
_FRAME = str.maketrans(dict.fromkeys("|+,;!:=", " "))
_COMMENT = re.compile(r"(^|\s)#.*")
_NAME = re.compile(r"[^\W\d][\w .()/-]*")
_AHEAD = 200
"""Lines that are looked at to tell whether `-` is a blank cell or draws a line."""


def puzzle_rows(lines: Iterable[str], box: Box, source: str) -> Iterator[PuzzleRow]:
    """The puzzles of a file's lines, blanks as `0`; their cells are not looked at yet.

    Raises:
        UserError: the line where a layout breaks, with what it should hold.

    >>> list(puzzle_rows(["id;quiz", "7;1.....4..2..2..1"], Box(2, 2), "f"))
    [(2, '1000004002002001', '')]
    >>> list(puzzle_rows(["1.|..", "..|4.", "--+--", ".2|..", "2.|.1"], Box(2, 2), "f"))
    [(1, '1000004002002001', '')]
    """
    for number, puzzle, answer in _rows(_without_comments(lines), box, source):
        yield number, *plain(puzzle, answer, box)


def _rows(numbered: Iterator[tuple[int, str]], box: Box, source: str) -> Iterator[PuzzleRow]:
    """The puzzles with their cells as they stand in the file."""
    first = list(islice(numbered, _AHEAD))
    dashes = any(_dashed_row(line, box).strip("-") for _, line in first)
    numbered = chain(first, numbered)
    for number, line in numbered:
        if (columns := _Columns.of(line)) is not None:
            yield from columns.rows(numbered, box, source)
            return
        if _boards(line, box):
            yield from _lines(chain([(number, line)], numbered), box)
            return
        if _row_of_grid(line, box, dashes) or line.startswith("["):
            yield from _grids(chain([(number, line)], numbered), box, source, dashes)
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

    def rows(
        self, numbered: Iterable[tuple[int, str]], box: Box, source: str
    ) -> Iterator[PuzzleRow]:
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
                puzzle, answer = of_tokens(puzzle), of_tokens(answer)
            yield number, _joined(puzzle, box), _joined(answer, box)


def _joined(field: str, box: Box) -> str:
    """A field's cells, which may stand apart."""
    parts = field.split()
    return (one_each(parts, box) if len(parts) == box.cells else "") or field


def _fields(line: str, between: str) -> list[str]:
    return next(csv.reader([line], delimiter=between)) if '"' in line else line.split(between)


def _lines(numbered: Iterable[tuple[int, str]], box: Box) -> Iterator[PuzzleRow]:
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
    if len(fields) >= box.cells and (cells := one_each(fields, box)):
        fields = [cells]  # a column a cell
    return [field for field in fields if _is_board(field, box)]


def _is_board(field: str, box: Box) -> bool:
    if 2 * len(field) <= box.cells or field.strip(signs(box)):
        return False
    # `-` and `x` stand in dates, lines and words too: with them, a puzzle is a whole one.
    rest = field.translate(_WORDY)
    return rest == field or (len(field) == box.cells and bool(rest))


_WORDY = str.maketrans("", "", "-xX")


def _row_of_grid(line: str, box: Box, dashes: bool) -> str:
    """The cells of a grid's row; empty if the line is none.

    Args:
        dashes: whether the file has rows in which `-` is a blank cell; without such a row, a line
            of dashes is drawn.
    """
    parts = line.translate(_FRAME).split()
    if len(parts) == box.side and any(len(part) > 1 for part in parts):
        cells = one_each(parts, box)
        if cells and not cells.strip(signs(box)):
            return cells
    cells = line.translate(_DRAWING)
    if len(cells) == box.side and not cells.strip(signs(box)):
        return cells
    cells = _dashed_row(line, box)
    return cells if dashes or cells.strip("-") else ""


def _dashed_row(line: str, box: Box) -> str:
    """The cells of a row with `-` for blank; empty if the line cannot be one."""
    if "-" not in line or "+" in line:
        return ""
    cells = "".join(line.translate(_FRAME).split())
    return cells if len(cells) == box.side and not cells.strip(signs(box)) else ""


def _heading(line: str) -> str | None:
    """What a line between grids says, in lower case: a section's name or a title; else None."""
    if line.startswith("[") and line.endswith("]"):
        return line[1:-1].strip().lower()
    return line.lower() if re.fullmatch(r"[^\W\d]{2,}[^,;|]*", line) else None


def _grids(
    numbered: Iterable[tuple[int, str]], box: Box, source: str, dashes: bool
) -> Iterator[PuzzleRow]:
    """A row of cells a line. Of a file with sections (`[Puzzle]`, `[State]`) only puzzles count."""
    rows: list[str] = []
    begun, counts = 0, True
    for number, line in numbered:
        ends = not line and len(rows) % box.rows != 0
        row = _row_of_grid(line, box, dashes)
        title = _heading(line) if line and not row else None
        if rows and (ends or title is not None):
            break
        if title is not None:
            counts = not line.startswith("[") or title == "puzzle"
            continue
        if not counts or (not row and not line.translate(_DRAWING)):
            continue
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
    fault = f"the puzzle {malformed(plain(field, '', box)[0], box)}"
    fault += f", in a line or in {box.side} lines of {box.side}"
    raise UserError(f"{source}, line {number}", short(field), fault)


def short(text: str) -> str:
    """A text for a message."""
    return text if len(text) <= 90 else text[:87] + "..."
