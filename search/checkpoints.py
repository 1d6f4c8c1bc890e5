"""Which checkpoints of a run folder are kept."""

from __future__ import annotations

import shutil
from pathlib import Path


def keep_only(folder: Path, trial: int, checkpoint: str | None) -> None:
    """Remove a trial's checkpoints except one (a path relative to the run folder)."""
    kept = None if checkpoint is None else folder / checkpoint
    for attempt in (folder / "checkpoints" / str(trial)).glob("*"):
        for path in attempt.iterdir():
            if path != kept:
                shutil.rmtree(path, ignore_errors=True)
        if kept is None or attempt != kept.parent:
            shutil.rmtree(attempt, ignore_errors=True)
