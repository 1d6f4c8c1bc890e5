"""The verdict on a run as a box of text, the first thing that a terminal shows of it."""

from __future__ import annotations

from textwrap import wrap

from search.logs.parameters import terminal_width
from search.stability.verdict import RunVerdict

MARKS = {"for": "+", "care": "!", "against": "x", "so": "-"}
"""What a line speaks for: using the winner, care, leaving it, neither."""
_WIDEST = 100


def verdict_text(found: RunVerdict, width: int | None = None) -> str:
    """A box with the verdict, its reasons, the cost and the next commands.

    Args:
        width: columns; None are the terminal's.
    """
    width = min(width or terminal_width(), _WIDEST)
    lines: list[str] = []
    for reason in found.reasons:
        lines += _hung(f"{MARKS[reason.weight]} ", reason.words, width - 4)
    if found.cost:
        lines += _hung("cost  ", found.cost, width - 4)
    for index, step in enumerate(found.steps):
        # A command stays on one line, to be copied.
        lines += [f"{'next  ' if not index else '      '}{step.command}"]
        lines += _hung("      ", f"  {step.why}", width - 4)
    title = f"-- {found.title} "
    top = f"+{title}{'-' * max(width - len(title) - 2, 0)}+"
    inside = [f"| {line:<{width - 4}} |" if len(line) <= width - 4 else f"| {line}"
              for line in lines]  # fmt: skip
    return "\n".join([top, *inside, f"+{'-' * (width - 2)}+"])


def _hung(mark: str, words: str, width: int) -> list[str]:
    """Words behind a mark, with the further lines under the first."""
    lines = wrap(words, max(width - len(mark), 20), break_long_words=False) or [""]
    indent = " " * (len(words) - len(words.lstrip()))
    first, *rest = lines
    return [
        f"{mark}{indent}{first.lstrip()}",
        *(f"{' ' * len(mark)}{indent}{line}" for line in rest),
    ]
