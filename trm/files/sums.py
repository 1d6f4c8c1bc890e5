"""Checksums of a checkpoint's files, kept in its `checkpoint.json`."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HEAD = "checkpoint.json"
FILES, OWN = "files", "crc32"
_PIECE = 1 << 20


def crc32_of(path: Path) -> str:
    """A file's CRC-32 (ISO 3309) as eight hexadecimal digits."""
    found = 0
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            found = zlib.crc32(piece, found)
    return f"{found:08x}"


def with_sums(head: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A checkpoint's head with the checksums of the other files in its folder, and its own."""
    files = {path.name: crc32_of(path) for path in sorted(folder.iterdir())}
    tree = {**head, FILES: files}
    return {**tree, OWN: _own(tree)}


def is_sound(head: Mapping[str, Any]) -> bool:
    """Whether what `checkpoint.json` holds is what was written, as far as it has a checksum."""
    return OWN not in head or head[OWN] == _own({k: v for k, v in head.items() if k != OWN})


def damage_of(folder: Path) -> str | None:
    """What is wrong with a checkpoint, in words; None if nothing is, as far as it has checksums."""
    try:
        head = json.loads((folder / HEAD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"{HEAD} is missing"
    except (ValueError, RecursionError):
        return f"{HEAD} is damaged, not JSON"
    if not isinstance(head, dict) or not is_sound(head):
        return f"{HEAD} is damaged, its checksum differs"
    files = head.get(FILES, {})
    for name, expected in files.items() if isinstance(files, Mapping) else ():
        path = folder / str(name)
        if not path.is_file():
            return f"{name} is missing"
        if crc32_of(path) != expected:
            return f"{name} is damaged, its checksum differs"
    return None


def _own(tree: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(tree, indent=1).encode()):08x}"
