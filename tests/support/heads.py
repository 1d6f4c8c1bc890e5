"""What a checkpoint's `checkpoint.json` says is changed, as if it had been written so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trm.files.sums import FILES, HEAD, OWN, with_sums

Edit = Callable[[dict[str, Any]], Any]


def edit_head(folder: Path, edit: Edit) -> None:
    """Change it, and renew its checksums."""
    head = _without_sums(folder)
    edit(head)
    (folder / HEAD).unlink()
    (folder / HEAD).write_text(json.dumps(with_sums(head, folder), indent=1), encoding="utf-8")


def edit_old_head(folder: Path, edit: Edit) -> None:
    """Change it, as of an older version, which had no checksums."""
    head = _without_sums(folder)
    edit(head)
    (folder / HEAD).write_text(json.dumps(head), encoding="utf-8")


def _without_sums(folder: Path) -> dict[str, Any]:
    head: dict[str, Any] = json.loads((folder / HEAD).read_text(encoding="utf-8"))
    del head[FILES], head[OWN]
    return head
