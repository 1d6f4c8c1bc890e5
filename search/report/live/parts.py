"""A page taken apart, so that a browser that has it is sent only what has changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

_FIGURE = re.compile(
    r'<script type="application/json" id="figure-(?P<name>[^"]+)">(?P<text>.*?)</script>\n?',
    re.DOTALL,
)
_BODY = "<body>"
_FIRST_SCRIPT = re.compile(r"<script\b")


@dataclass(frozen=True)
class PageParts:
    """What of a page may change.

    Attributes:
        frame: the markup of its body without any script.
        figures: each figure as JSON, by name.
    """

    frame: str
    figures: Mapping[str, str]


def taken_apart(html: str) -> PageParts:
    """The parts of a page as `search.report.page` writes it.

    >>> html = '<body>\\n<p>a</p>\\n<script type="application/json" id="figure-b">{}</script>\\n'
    >>> taken_apart(html + "<script>draw()</script>\\n</body>")
    PageParts(frame='\\n<p>a</p>\\n', figures={'b': '{}'})
    """
    body = html[html.index(_BODY) + len(_BODY) :]
    first = _FIRST_SCRIPT.search(body)
    assert first is not None, "a page draws itself"
    figures = {found["name"]: found["text"] for found in _FIGURE.finditer(body)}
    return PageParts(body[: first.start()], figures)


@dataclass
class Versions:
    """Which version of a page brought which of its parts.

    Attributes:
        now: the newest version; 0 before the first.
    """

    now: int = 0
    _frame: str = ""
    _figures: dict[str, str] = field(default_factory=dict)
    _since: dict[str, tuple[bytes, int]] = field(default_factory=dict)

    def take(self, version: int, parts: PageParts) -> None:
        """A new version, whose number is above the last one's."""
        assert version > self.now, (version, self.now)
        texts = {"": parts.frame, **parts.figures}
        since = {}
        for name, text in texts.items():
            digest = blake2b(text.encode(), digest_size=16).digest()
            old = self._since.get(name)
            since[name] = old if old is not None and old[0] == digest else (digest, version)
        self._frame, self._figures = parts.frame, dict(parts.figures)
        self.now, self._since = version, since

    def changes(self, version: int) -> dict[str, Any]:
        """What a browser lacks that has a version; `frame` is None where it has that."""
        newer = {name for name, (_, since) in self._since.items() if since > version}
        return {
            "version": self.now,
            "frame": self._frame if "" in newer else None,
            "figures": {name: self._figures[name] for name in self._figures if name in newer},
        }
