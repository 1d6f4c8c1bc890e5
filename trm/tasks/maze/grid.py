"""A maze as tokens and as text: walls, open cells, start, goal and the cells of a path."""

from __future__ import annotations

import numpy as np

from trm.errors import UserError
from trm.tasks import picture
from trm.tasks.base import Tokens
from trm.tasks.drawn import least_image
from trm.tasks.picture import Look

CHARACTERS = "# SGo"
"""Of the tokens from 1 on, as in the public Maze-Hard files; 0 is padding."""
WALL, OPEN, START, GOAL, PATH = range(1, 6)
VOCABULARY = 6
_SIGNS = "?█ SG•"
LOOKS = (
    Look("?"),
    Look(fill=picture.WALL),
    Look(),
    Look("S", picture.START),
    Look("G", picture.GOAL),
    Look(fill=picture.PATH),
)
_WRONG = "×"
"""A cell that is shown as part of the path although it was a wall."""
_ALSO = {".": OPEN, "█": WALL, "•": PATH}


def parse(text: str, size: int) -> Tokens:
    """A maze as a person writes it, row by row: `#` walls, spaces or dots open, `S` and `G`.

    Line ends are not counted; a line's missing spaces at its end are.

    Returns:
        tokens `[size * size]`.

    Raises:
        UserError: it is no maze of that size.
    """
    lines = text.strip("\r\n").splitlines()
    cells = lines[0] if len(lines) == 1 else "".join(line.ljust(size) for line in lines)
    known = {sign: token for token, sign in enumerate(CHARACTERS, 1)} | _ALSO
    if len(cells) != size * size:
        raise UserError("maze", text, f"needs {size} rows of {size} characters of {CHARACTERS!r}")
    bad = sorted(set(cells) - set(known))
    if bad:
        raise UserError("maze", "".join(bad), "only # (wall), space or . (open), S, G and o (path)")
    tokens = np.array([known[cell] for cell in cells], dtype=np.int32)
    for sign, token in (("S", START), ("G", GOAL)):
        if (found := int((tokens == token).sum())) != 1:
            raise UserError("maze", text, f"needs exactly one {sign}, and has {found}")
    return tokens


def show(tokens: Tokens, size: int, given: Tokens | None = None) -> str:
    """The maze with solid walls and dots on the path; with `given`, a path through walls is `×`."""
    signs = np.array(list(_SIGNS))[np.clip(tokens, 0, VOCABULARY - 1)]
    if given is not None:
        signs = np.where((tokens == PATH) & (given == WALL), _WRONG, signs)
    return "\n".join("".join(row) for row in signs.reshape(size, size))


def symmetries(size: int) -> np.ndarray[tuple[int, int], np.dtype[np.intp]]:
    """The source cell of each cell under the eight rotations and reflections, `[8, cells]`."""
    cells = np.arange(size * size).reshape(size, size)
    images = [np.rot90(one, turns) for one in (cells, cells.T) for turns in range(4)]
    return np.stack([image.ravel() for image in images])


def canonical(tokens: Tokens, size: int) -> Tokens:
    """The least of each maze's eight images `[n, cells]`, compared cell by cell."""
    return least_image([tokens[:, source] for source in symmetries(size)])
