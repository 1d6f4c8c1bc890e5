"""Files in a run folder that are none of its own: left by systems, editors and sync tools."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from search.ledger.files import RUN_FILE, SWEEP_FILE
from trm.errors import StrayWarning

_OWN = {
    "trials": r"\d{6,}\.parquet",
    "curves": r"\d{6,}\.parquet",
    "attempts": r"\d{6,}\.parquet",
    "log": r"\d{6,}\.jsonl",
    "checkpoints": r"\d+",
    "winner": r"\d+",
}
"""Folders in which all is ours, and the names of what may be there; a hidden `.tmp` is a write that
was cut short."""
_NAMED = 3
_HALF_WRITTEN = r"|\.[^/]*\.(tmp|partial)"


def strays_in(folder: Path) -> list[Path]:
    """What lies in a local run folder and is not looked at, where it could be taken for a part."""
    found: list[Path] = []
    for name, pattern in _OWN.items():
        below = folder / name
        if below.is_dir():
            own = re.compile(pattern + _HALF_WRITTEN)
            found += (path for path in below.iterdir() if not own.fullmatch(path.name))
    for name in (RUN_FILE, SWEEP_FILE):
        stem, _, suffix = name.partition(".")
        copies = folder.glob(f"{stem}?*.{suffix}")
        found += (path for path in copies if not path.stem[len(stem)].isalnum())
    return sorted(found)


def warn_of_strays(folder: Path) -> None:
    """Say once what is ignored."""
    found = strays_in(folder)
    if not found:
        return
    names = [str(path.relative_to(folder)) for path in found[:_NAMED]]
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    what = f"{folder}: ignored, for it is no part of the run: {', '.join(names)}{more}"
    warnings.warn(what, StrayWarning, stacklevel=2)
