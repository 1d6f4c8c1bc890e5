"""The files of a training: its config, its learning curve, and the newest of its checkpoints."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from trm.checkpoint.writing import save_checkpoint
from trm.files.replace import replacing
from trm.files.run_folder import (
    checkpoints_in,
)
from trm.training.trainer import Trainer

KEPT_CHECKPOINTS = 2

CONFIG, REPORTS, CHECKPOINTS = "config.yaml", "reports.jsonl", "checkpoints"


def keep_checkpoint(folder: Path, trainer: Trainer, origin: dict[str, Any]) -> None:
    """Save where the trainer stands, unless that is there, and remove the oldest.

    Args:
        origin: what made it.
    """
    counters = trainer.counters
    # With the mark: a run stopped right at a mark has a checkpoint before and after its report.
    checkpoint = folder / CHECKPOINTS / f"{counters.step:09d}-{counters.mark:04d}"
    saves = not checkpoint.exists()
    trainer.ranks.told(lambda: {"saves": saves})
    if saves:
        save_checkpoint(checkpoint, trainer, origin)
    for old in checkpoints_in(checkpoint.parent)[:-KEPT_CHECKPOINTS]:
        shutil.rmtree(old)


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The reports in a run folder; a line that was cut off when the process died does not count."""
    try:
        lines = (folder / REPORTS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith("}")]


def write(path: Path, text: str) -> None:
    """A file that is whole or as it was."""
    with replacing(path) as file:
        file.write(text.encode())
