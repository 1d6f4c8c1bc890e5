"""How people write the cells of a grid, and the one way in which we do.

Digits are 1 to 9, then A to G (10 to 16). A grid of 16 digits may also be written in A to P, in
0 to 9 and A to F (then 0 is a digit, and blank is another sign), or in numbers with spaces between.
"""

from __future__ import annotations

from collections.abc import Sequence

from trm.tasks.sudoku.rules import Boards, Box

ALPHABET = "0123456789ABCDEFG"
"""A cell's sign by its digit; 0 is blank."""
BLANKS = ".*_?-xX"
"""What a blank cell is written as besides 0."""

_LETTERS = "ABCDEFGHIJKLMNOP"
_REFUSED = "!"
"""Stands for what is no cell."""
_BLANK = str.maketrans(dict.fromkeys(BLANKS, "0"))
_FROM_LETTERS = str.maketrans(_LETTERS, ALPHABET[1:])
_FROM_HEX = str.maketrans(ALPHABET[:16], ALPHABET[1:])


def signs(box: Box) -> str:
    """What a cell may be written as, blanks included."""
    if box.side <= 9:
        return ALPHABET[: box.side + 1] + BLANKS
    return ALPHABET[:10] + _LETTERS + _LETTERS.lower() + BLANKS


def plain(puzzle: str, answer: str, box: Box) -> tuple[str, str]:
    """A puzzle and its solution in our signs; what is no sign at all stays.

    >>> plain("1.x-", "1234", Box(2, 2))
    ('1000', '1234')
    >>> plain("a..p", "", Box(4, 4)), plain("0.2f", "", Box(4, 4)), plain("10g.", "", Box(4, 4))
    (('100G', ''), ('103G', ''), ('10G0', ''))
    """
    if box.side <= 9:
        return puzzle.translate(_BLANK), answer.translate(_BLANK)
    puzzle, answer = puzzle.upper(), answer.upper()
    seen = {*puzzle, *answer}
    change: dict[int, str | int | None] = {}
    if seen.isdisjoint("123456789") and not seen.isdisjoint(_LETTERS):
        change = dict(_FROM_LETTERS)
    elif "0" in answer or ("0" in puzzle and not seen.isdisjoint(BLANKS)):
        change = {} if "G" in seen else dict(_FROM_HEX)
    change = {**_BLANK, **change}
    return puzzle.translate(change), answer.translate(change)


def one_each(parts: Sequence[str], box: Box) -> str:
    """Cells that stand apart, each a sign or a number, as a sign each; empty if they are not so."""
    if all(len(part) <= 1 for part in parts):
        return "".join(parts)
    if box.side <= 9 or any(len(part) > 2 for part in parts):
        return ""
    return "".join(map(_sign, parts))


def _sign(part: str) -> str:
    if not (part.isascii() and part.isdigit()):
        return part if len(part) <= 1 else _REFUSED
    return ALPHABET[int(part)] if int(part) < len(ALPHABET) else _REFUSED


def of_tokens(tokens: str) -> str:
    """Cells of tokens with spaces between them: 1 is blank, digit d is d + 1."""
    values = [
        int(token) - 1 if token.isascii() and token.isdigit() and len(token) < 4 else -1
        for token in tokens.split()
    ]
    return "".join(ALPHABET[v] if 0 <= v < len(ALPHABET) else _REFUSED for v in values)


def written(cells: Boards) -> str:
    """Digits `[cells]` as a line."""
    return "".join(ALPHABET[digit] for digit in cells)
