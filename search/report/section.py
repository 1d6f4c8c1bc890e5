"""What a page consists of: sections of pictures, each with a sentence and its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Mark = Literal["winner", "completed", "pruned", "failed"]
MOST_ROWS = 60
"""Rows of a table that the page shows; the rest is in the run folder's Parquet files."""


@dataclass(frozen=True)
class Table:
    """Numbers as text; escaped where it is written.

    Attributes:
        columns: headings.
        rows: a cell a column.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Panel:
    """One figure of plotly.

    Attributes:
        name: of its place on the page and of its file; of letters, digits and dashes.
        figure: a `plotly.graph_objects.Figure`.
        title: above it, if a picture has several.
        label: what a screen reader says of it; empty is the title.
    """

    name: str
    figure: Any
    title: str = ""
    label: str = ""


@dataclass(frozen=True)
class Legend:
    """A line of the legend that several small figures share.

    Attributes:
        mark: which mark it explains.
        words: what it is.
    """

    mark: Mark
    words: str


@dataclass(frozen=True)
class Picture:
    """One or several figures that show one thing.

    Attributes:
        title: what is shown.
        says: what the data say, in a sentence or two.
        panels: the figures; none where words are all there is.
        table: the numbers beneath.
        wide: whether few of the panels stand side by side.
        key: the legend of all panels, where none has its own.
    """

    title: str
    says: str
    panels: Sequence[Panel]
    table: Table | None = None
    wide: bool = False
    key: Sequence[Legend] = ()


@dataclass(frozen=True)
class Code:
    """Text to copy: a file or commands."""

    title: str
    text: str


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        name: of its link.
        title: its heading.
        intro: what one should know to read it.
        pictures: what is in it.
        code: what is to be copied.
    """

    name: str
    title: str
    intro: str = ""
    pictures: Sequence[Picture] = field(default=())
    code: Sequence[Code] = field(default=())
