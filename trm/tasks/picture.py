"""Grids side by side as one SVG file that needs nothing else: a puzzle, an answer, its label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

MOST_SIDE = 64
"""Rows and columns of a grid at most; more could not be seen."""

PAPER, INK, LINE = "#ffffff", "#1b1f24", "#c4c9d0"
ANSWERED, WRONG = "#0060a0", "#c1121f"
WALL, PATH, START, GOAL = "#2f353d", "#f6b73c", "#8ecae6", "#74c69d"
COLOURS = ("#f6b73c", "#8ecae6", "#74c69d", "#d9a5c7")
"""For marks that differ; told apart by readers who see fewer colours too."""

_WIDE, _HIGH = 420, 420
_MARGIN, _TITLE = 16, 26


@dataclass(frozen=True)
class Look:
    """How a cell looks.

    Attributes:
        text: what stands in it, a few characters.
        fill: its colour.
        ink: the colour of the text.
        wrong: whether it is marked as wrong.
    """

    text: str = ""
    fill: str = PAPER
    ink: str = INK
    wrong: bool = False


@dataclass(frozen=True)
class Painting:
    """A grid as a picture shows it.

    Attributes:
        shape: rows and columns.
        cells: row by row.
        boxes: rows and columns between two thick lines, where there are any.
    """

    shape: tuple[int, int]
    cells: tuple[Look, ...]
    boxes: tuple[int, int] | None = None

    def against(self, right: Painting) -> Painting:
        """With the cells marked that look otherwise in the right answer; none of another shape.

        >>> one, other = (Painting((1, 2), (Look("1"), Look(text))) for text in "23")
        >>> [cell.wrong for cell in one.against(other).cells]
        [False, True]
        """
        if self.shape != right.shape:
            return self
        pairs = zip(self.cells, right.cells, strict=True)
        marked = tuple(
            replace(mine, wrong=(mine.text, mine.fill) != (its.text, its.fill))
            for mine, its in pairs
        )
        return replace(self, cells=marked)


def svg(panels: Sequence[tuple[str, Painting]]) -> str:
    """Grids with a title each as the text of an SVG file: side by side, rows below each other.

    >>> print(svg([("one", Painting((1, 1), (Look("7"),)))])[:38])
    <svg xmlns="http://www.w3.org/2000/svg
    """
    side = min(_cell(painting.shape) for _, painting in panels)
    below = all(4 * painting.shape[0] < painting.shape[1] for _, painting in panels)
    parts, x, y, wide, high = [], _MARGIN, _MARGIN, 0, 0
    for title, painting in panels:
        rows, columns = painting.shape
        # Of a narrow grid the title decides how wide it is; 8 is a character of its font.
        width, height = max(columns * side, 8 * len(title)), rows * side + _TITLE
        parts.append(_panel(title, painting, (x, y), side))
        wide, high = max(wide, x + width + _MARGIN), max(high, y + height + _MARGIN)
        x, y = (x, y + height + _MARGIN) if below else (x + width + 2 * _MARGIN, y)
    titles = escape(", ".join(title for title, _ in panels))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" '
        f'viewBox="0 0 {wide} {high}" role="img" font-family="Helvetica, Arial, sans-serif">'
    )
    back = f'<rect width="{wide}" height="{high}" fill="{PAPER}"/>'
    return "\n".join([head, f"<title>{titles}</title>", back, *parts, "</svg>\n"])


def _cell(shape: tuple[int, int]) -> int:
    """The side of a cell, in pixels."""
    rows, columns = shape
    return max(8, min(44, _HIGH // max(rows, 1), _WIDE // max(columns, 1)))


def _panel(title: str, painting: Painting, at: tuple[int, int], side: int) -> str:
    columns = painting.shape[1]
    lines = [f'<g transform="translate({at[0]} {at[1]})">']
    lines.append(f'<text y="13" font-size="14" fill="{INK}">{escape(title)}</text>')
    lines.append(f'<g transform="translate(0 {_TITLE})">')
    for index, look in enumerate(painting.cells):
        left, top = index % columns * side, index // columns * side
        lines.append(
            f'<rect x="{left}" y="{top}" width="{side}" height="{side}" fill="{look.fill}" '
            f'stroke="{LINE}"/>'
        )
        if look.text:
            size = round(side * min(0.6, 1.4 / len(look.text)), 1)
            lines.append(
                f'<text x="{left + side / 2:g}" y="{top + side / 2:g}" dy=".35em" '
                f'font-size="{size}" text-anchor="middle" fill="{look.ink}">'
                f"{escape(look.text)}</text>"
            )
    # After all cells, as a neighbour would hide half of a mark.
    lines += [
        _mark(index % columns * side, index // columns * side, side)
        for index, look in enumerate(painting.cells)
        if look.wrong
    ]
    lines.append(_thick(painting, side))
    return "\n".join([*lines, "</g>", "</g>"])


def _mark(left: int, top: int, side: int) -> str:
    """A frame in red on white, that is seen on any colour, and a corner for who sees no red."""
    inset = side - 4
    frame = f'x="{left + 2}" y="{top + 2}" width="{inset}" height="{inset}" fill="none"'
    corner = side // 3
    return (
        f'<rect {frame} stroke="{PAPER}" stroke-width="4"/>'
        f'<rect {frame} stroke="{WRONG}" stroke-width="2"/>'
        f'<path d="M{left + 2} {top + 2}h{corner}l-{corner} {corner}z" fill="{WRONG}"/>'
    )


def _thick(painting: Painting, side: int) -> str:
    """The frame of the grid, and its thick lines."""
    rows, columns = painting.shape
    wide, high = columns * side, rows * side
    tall, broad = painting.boxes or (rows, columns)
    across = [f"M0 {row * side}H{wide}" for row in range(0, rows + 1, tall)]
    down = [f"M{column * side} 0V{high}" for column in range(0, columns + 1, broad)]
    return f'<path d="{"".join([*across, *down])}" stroke="{INK}" stroke-width="2" fill="none"/>'
