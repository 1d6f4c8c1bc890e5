"""Code blocks of a Markdown page, with what says whether and how a test runs them.

A block is run by the fast tests unless a comment stands before it: `<!-- slow -->` leaves it to the
slow ones, `<!-- not run: WHY -->` to nobody.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>slow|not run: [^>]+?) -->\n)?^```(?P<info>[^\n]*)\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


class Block(NamedTuple):
    """A code block.

    Attributes:
        page: the file's name and the block's line.
        language: what stands behind the fence, and `words` after it.
        mark: empty, `slow`, or why it is not run.
    """

    page: str
    language: str
    words: tuple[str, ...]
    mark: str
    code: str


def blocks(path: Path) -> Iterator[Block]:
    text = path.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("info")) + 1
        language, *words = found["info"].split() or [""]
        yield Block(
            f"{path.stem}:{line}", language, tuple(words), found["mark"] or "", found["code"]
        )


def command_lines(block: Block) -> Iterator[list[str]]:
    """The words of each command, without its comment."""
    for line in block.code.splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words
