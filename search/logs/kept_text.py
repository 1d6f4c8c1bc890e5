"""Text that is kept in a file of a run folder, bounded: its beginning and its end."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from search.ledger.files import write_atomically
from search.ledger.storage import Place

HEAD, TAIL = 64 << 10, 192 << 10
"""Characters that are kept of what comes first, and of what comes last."""
HIDDEN = "[hidden]"
SECRETS_VARIABLE = "TRM_SECRETS"
"""An environment variable with the names, between commas, of others that are secret."""
_SECRET = re.compile("KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)
_IN_URL = re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)")
_BEARER = re.compile(r"(?i)(?<=bearer )[\w.~+/=-]{8,}")
_SHORTEST = 8


class KeptText:
    """Collects text, and writes it when it is told to.

    Only whole lines are written, without secrets. Where a text is too long its middle is left out.

    Args:
        file: where it goes; made, with its folder, once there is something to write.
    """

    def __init__(self, file: Place, head: int = HEAD, tail: int = TAIL) -> None:
        self.file = file
        self._sizes = head, tail
        self._head = self._tail = self._begun = ""
        self._left_out = 0
        self._new = ""
        self._appends = isinstance(file, Path)
        self._changed = False

    def add(self, text: str) -> None:
        """Take in more."""
        lines, end, self._begun = (self._begun + text).rpartition("\n")
        self._take(lines + end)
        if len(self._begun) > self._sizes[1]:  # a line without an end
            self.end_line()

    def end_line(self) -> None:
        """Take in what was begun as a line."""
        if self._begun:
            begun, self._begun = self._begun, ""
            self._take(begun + "\n")

    def text(self) -> str:
        """What is kept."""
        gap = f"[... {self._left_out} characters are left out here ...]\n" if self._left_out else ""
        return self._head + gap + self._tail

    def flush(self) -> None:
        """Write what has come.

        Raises:
            OSError: storage does not take it; it is tried again by the next call.
        """
        if not self._changed:
            return
        appends, self._appends = self._appends and not self._left_out, False
        if isinstance(self.file, Path):
            self.file.parent.mkdir(parents=True, exist_ok=True)
        if appends:
            assert isinstance(self.file, Path)
            with open(self.file, "a", encoding="utf-8", errors="replace") as stream:
                stream.write(self._new)
        else:
            write_atomically(self.file, self.text().encode("utf-8", "replace"))
        # After an error the file may hold a part: it is written anew, as a whole.
        self._appends = appends
        self._new, self._changed = "", False

    def _take(self, text: str) -> None:
        if not text:
            return
        text = without_secrets(text)
        self._changed = True
        head, tail = self._sizes
        if self._appends:
            self._new += text
        room = max(head - len(self._head), 0) if not self._tail else 0
        self._head += text[:room]
        self._tail += text[room:]
        over = len(self._tail) - tail
        if over > 0:
            # At a line's end, if one is near.
            cut = self._tail.find("\n", over, over + 4096) + 1 or over
            self._left_out += cut
            self._tail = self._tail[cut:]
            self._new = ""


def without_secrets(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Text without values of variables that are named as secrets, or said to be, and the like.

    >>> without_secrets("key abcdefgh, s3://me:mine@host", {"API_KEY": "abcdefgh"})
    'key [hidden], s3://[hidden]@host'
    """
    named = environment.get(SECRETS_VARIABLE, "").split(",")
    for name, value in environment.items():
        is_secret = name in named or (name != SECRETS_VARIABLE and _SECRET.search(name))
        if is_secret and len(value) >= _SHORTEST:
            text = text.replace(value, HIDDEN)
    return _BEARER.sub(HIDDEN, _IN_URL.sub(HIDDEN, text))
