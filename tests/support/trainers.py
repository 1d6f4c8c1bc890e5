"""Trainings of a tiny experiment, and what two of them have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from trm.report import MACHINE_COLUMNS, Report
from trm.training.trainer import Trainer

Make = Callable[..., Trainer]


GROWTH = {
    "curriculum.depth": {
        "name": "stages",
        "stages": [
            {"at": 0.0, "H_cycles": 1, "L_cycles": 1},
            {"at": 0.2, "H_cycles": 2, "L_cycles": 1},
            {"at": 0.6, "H_cycles": 2, "L_cycles": 2},
        ],
    }
}


def rows(reports: list[Report]) -> list[dict[str, Any]]:
    """Every column but the measured ones."""
    return [
        {key: value for key, value in report.row().items() if key not in MACHINE_COLUMNS}
        for report in reports
    ]


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different


EVERYTHING = {
    **GROWTH,
    "task.augment": True,
    "train.ema": 0.9,
    "train.budget.steps": 75,
    "train.batch_size": 8,
    "model.halt_exploration_prob": 0.5,
    # 100 steps or so at this depth curriculum; the cut at 50 lies inside the warm-up.
    "optimizer.lr_warmup_steps": 60,
}

SECOND_HALF = """
import json, sys
from pathlib import Path
from trm.checkpoint.head import read_head
from trm.checkpoint.reading import resume
from trm.checkpoint.writing import save_checkpoint
from trm.files.run_folder import cache_folder
for folder in map(Path, sys.argv[1:]):
    task = read_head(folder / "middle").config.task.build(cache_folder())
    trainer = resume(folder / "middle", task)
    reports = [report.row() for report in trainer.run()]
    save_checkpoint(folder / "resumed", trainer)
    (folder / "resumed.json").write_text(json.dumps(reports))
"""
"""A program that goes on with trainings stopped in the middle, each in a folder given to it."""
