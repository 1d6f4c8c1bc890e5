"""Grids as people write and read them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trm.errors import UserError
from trm.tasks.sudoku.notation import ALPHABET, one_each, plain, written
from trm.tasks.sudoku.rules import Boards, Box
from trm.tasks.sudoku.solver import solve

_DRAWING = str.maketrans("", "", " \t\r\n|+()")
_LENGTHS = {16: (2, 2), 36: (2, 3), 64: (2, 4), 81: (3, 3), 256: (4, 4)}


def parse(text: str, box: Box, where: str = "puzzle") -> Boards:
    """One puzzle as digits `[cells]`, from a line or a grid; `0`, `.`, `-` or `x` is a blank cell.

    Spaces, line breaks, box lines and the brackets of `show` are skipped. It may have several
    solutions: any of them is right by the rules.

    Raises:
        UserError: wrong length or character, a digit twice in a unit, or no solution.
    """
    board = parse_cells(text, box, where)
    if not solve(board[None], box, limit=1).count[0]:
        raise UserError(where, written(board), unsound(0))
    return board


def parse_cells(text: str, box: Box, where: str = "puzzle") -> Boards:
    """The same of digits that may break the rules.

    Raises:
        UserError: wrong length or character.
    """
    parts = text.replace("|", " ").split()
    cells = one_each(parts, box) if len(parts) == box.cells else ""
    cells = cells or text.translate(_DRAWING)
    if len(cells) != box.cells or not cells.strip("-"):
        cells = cells.replace("-", "")
    cells, _ = plain(cells, "", box)
    fault = malformed(cells, box)
    if fault:
        raise UserError(where, cells if len(cells) <= box.cells + 10 else cells[:20], fault)
    return np.asarray(board_values([cells], box)[0])


def malformed(cells: str, box: Box) -> str:
    """What is wrong with a puzzle's characters, and the remedy; empty if nothing is."""
    if len(cells) != box.cells:
        fault = f"has {len(cells)} cells; box {[box.rows, box.cols]} needs {box.cells}"
        if len(cells) in _LENGTHS:
            fault += f" (for this length set task.box to {list(_LENGTHS[len(cells)])})"
        return fault
    wrong = [c for c in cells if c not in ALPHABET[: box.side + 1]]
    digits = f"1 to {box.side}" if box.side <= 9 else f"1 to 9 and A to {ALPHABET[box.side]}"
    return f"has the character {wrong[0]!r}; use {digits}, and 0 or . for blank" if wrong else ""


def board_values(lines: list[str], box: Box) -> Boards:
    """Well-formed puzzles as digits `[n, cells]`."""
    codes = np.frombuffer("".join(lines).encode("latin-1"), dtype=np.uint8)
    return np.asarray(_DIGITS[codes]).reshape(-1, box.cells)


_DIGITS = np.zeros(256, dtype=np.uint8)
_DIGITS[[ord(sign) for sign in ALPHABET]] = np.arange(len(ALPHABET))


def unsound(solutions: int) -> str:
    """What is wrong with a puzzle that has so many solutions; empty if nothing is."""
    if solutions == 0:
        return "has no solution; check its digits"
    return "" if solutions == 1 else "has several solutions; add givens"


def show(values: NDArray[np.uint8], box: Box, given: NDArray[np.uint8] | None = None) -> str:
    """A grid `[cells]` with its box lines; digits that differ from `given` stand in brackets.

    >>> print(show(np.arange(16) % 4 + 1, Box(2, 2), given=np.arange(16) % 4))
    +------+------+
    |(1)(2)|(3)(4)|
    |(1)(2)|(3)(4)|
    +------+------+
    |(1)(2)|(3)(4)|
    |(1)(2)|(3)(4)|
    +------+------+
    """
    before = values if given is None else given
    line = "+" + ("-" * 3 * box.cols + "+") * box.rows
    lines = []
    for row in range(box.side):
        if row % box.rows == 0:
            lines.append(line)
        text = ""
        for cell in range(row * box.side, (row + 1) * box.side):
            left, right = "  " if values[cell] == before[cell] else "()"
            text += "|" if cell % box.cols == 0 else ""
            text += left + (ALPHABET[values[cell]] if values[cell] else ".") + right
        lines.append(text + "|")
    return "\n".join([*lines, line])
