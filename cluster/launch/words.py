"""Words that a launch file may hold: what is let through, and how it is quoted."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Any

from pydantic import AfterValidator


def quoted(word: str) -> str:
    """A word for a shell, whatever it holds.

    >>> print(quoted("it's $(here)"))
    'it'"'"'s $(here)'
    """
    return shlex.quote(word)


def command(*words: str) -> str:
    """Words as one command line.

    >>> command("python", "-m", "mine", "--out", "my run")
    "python -m mine --out 'my run'"
    """
    return shlex.join(words)


def label(name: str, most: int = 40) -> str:
    """A name as schedulers and Kubernetes take it (DNS-1035): a-z, 0-9 and `-`, a letter first.

    >>> label("Sudoku 9x9, first try!"), label("9"), label("")
    ('sudoku-9x9-first-try', 'trm-9', 'trm')
    """
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not plain[:1].isalpha():
        plain = f"trm-{plain}".strip("-")
    return plain[:most].strip("-")


def matching(pattern: str, what: str) -> AfterValidator:
    """A validator of text that has to match as a whole.

    Args:
        what: what it must be, for the message.
    """
    whole = re.compile(pattern)

    def check(text: str) -> str:
        if not whole.fullmatch(text):
            raise ValueError(f"{shown(text)} must be {what}")
        return text

    return AfterValidator(check)


def shown(value: Any) -> str:
    """A value for a message, on one line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


NAME = r"[A-Za-z0-9][A-Za-z0-9_.+-]*"
"""What Slurm, SkyPilot and AWS call things by."""

Word = Annotated[str, matching(NAME, "one word of letters, digits and . _ + -")]
Label = Annotated[
    str,
    matching(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "a Kubernetes name: a-z, 0-9 and `-`"),
]
Variable = Annotated[
    str, matching(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable, without value")
]
AbsolutePath = Annotated[
    str, matching(r"/[^\x00-\x1f\x7f]*", "a full path: begin it with / and use no line breaks")
]
RemotePath = Annotated[
    str,
    matching(r"~?/[A-Za-z0-9_./+-]*", "a full path of letters, digits and . _ + - /"),
]
