"""Text for terminals that know less than Unicode: signs that stand for what they cannot show."""

from __future__ import annotations

import codecs
import io
from typing import TextIO

SIGNS = {
    "↑": "u", "→": "r", "↓": "d", "←": "l", "–": "-", "—": "-", "−": "-", "·": ".", "×": "x",
    "≤": "<=", "≥": ">=", "±": "+-", "≈": "~", "…": "...", "“": '"', "”": '"', "‘": "'", "’": "'",
    "│": "|", "─": "-", "┼": "+", "├": "+", "┤": "+", "┌": "+", "┐": "+", "└": "+", "┘": "+",
    "█": "#", "━": "-", "•": "*", "✓": "y", "✗": "n", "²": "^2",
}  # fmt: skip
"""What a sign is written as; of arrows the letters that `trm solve` takes."""
_HANDLER = "trm-plain"


def write_plainly(*streams: TextIO) -> None:
    """Have streams write signs where their encoding lacks a character, in place of an error.

    >>> stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    >>> write_plainly(stream)
    >>> print("→ ≥ ü", end="", file=stream, flush=True)
    >>> stream.buffer.getvalue()
    b'r >= \\\\xfc'
    """
    codecs.register_error(_HANDLER, _sign)
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def write_exactly(text: str, stream: TextIO) -> None:
    """Write text that a program will read: in UTF-8 where the stream's encoding lacks a part."""
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        stream.flush()
        stream.buffer.write(text.encode("utf-8"))
        stream.buffer.flush()
    else:
        stream.write(text)


def _sign(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError), error
    part = error.object[error.start : error.end]
    text = "".join(SIGNS.get(c) or c.encode("ascii", "backslashreplace").decode() for c in part)
    return text, error.end
