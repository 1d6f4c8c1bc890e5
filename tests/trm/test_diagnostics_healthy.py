"""Detectors are silent on twenty healthy runs of three tasks, chosen before any of them was run."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from trm.config import experiment_from, set_value
from trm.diagnostics import describe, diagnose
from trm.training.trainer import Trainer

MODEL: dict[str, Any] = {
    "mixer": "mlp_t", "hidden_size": 32, "L_layers": 2, "H_cycles": 1, "L_cycles": 1,
    "expansion": 1.0, "swiglu_multiple": 32, "puzzle_emb_len": 1, "halt_max_steps": 4,
}  # fmt: skip
SUDOKU: dict[str, Any] = {
    "name": "sudoku",
    "task": {
        "name": "sudoku", "box": [2, 2], "blanks": 8,
        "train_examples": 4000, "valid_examples": 300, "test_examples": 100,
    },
    "model": {**MODEL, "halt_exploration_prob": 0.1},
    "optimizer": {"name": "adamw", "lr": 3e-3, "lr_warmup_steps": 20, "weight_decay": 0.1},
    "train": {"batch_size": 64, "budget": {"steps": 300}, "reports": 6, "ema": None},
}  # fmt: skip
ARROWS: dict[str, Any] = {
    "name": "arrows",
    "task": {"name": "arrows", "size": 4, "valid_examples": 300, "test_examples": 100},
    "model": {**MODEL, "halt_exploration_prob": 0.5},
    "optimizer": {
        "name": "adamw", "lr": 1e-2, "beta2": 0.95, "lr_warmup_steps": 30, "lr_min_ratio": 0.1,
        "weight_decay": 0.1,
    },
    "train": {"batch_size": 64, "budget": {"steps": 1000}, "reports": 8, "ema": None},
}  # fmt: skip
SMALL: dict[str, Any] = {
    **ARROWS,
    "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 1500,
             "valid_examples": 200, "test_examples": 100},
    "train": {**ARROWS["train"], "budget": {"steps": 600}},
}  # fmt: skip

DEEP = {"model.H_cycles": 2, "model.L_cycles": 2}
FAST_AVERAGED = {"optimizer.lr": 1e-2, "train.ema": 0.95}
GROWN = {
    **DEEP,
    "curriculum": {
        "depth": {"name": "stages", "stages": [
            {"at": 0.0, "H_cycles": 1, "L_cycles": 1}, {"at": 0.3, "H_cycles": 2, "L_cycles": 1},
            {"at": 0.6},
        ]}
    },
}  # fmt: skip

RUNS: list[tuple[str, dict[str, Any], dict[str, Any], int]] = [
    ("sudoku", SUDOKU, {}, 201),
    ("sudoku", SUDOKU, {}, 202),
    ("sudoku", SUDOKU, {}, 203),
    ("sudoku deep", SUDOKU, DEEP, 204),
    ("sudoku deep", SUDOKU, DEEP, 205),
    ("sudoku averaged", SUDOKU, FAST_AVERAGED, 206),
    ("sudoku averaged", SUDOKU, FAST_AVERAGED, 207),
    ("sudoku clipped", SUDOKU, {"optimizer.grad_clip": 1.0}, 208),
    ("arrows3", SMALL, {}, 209),
    ("arrows3", SMALL, {}, 210),
    ("arrows3", SMALL, {}, 211),
    ("arrows3 deep", SMALL, DEEP, 212),
    ("arrows3 deep", SMALL, DEEP, 213),
    ("arrows3 averaged", SMALL, {"train.ema": 0.95}, 214),
    ("arrows4", ARROWS, {}, 215),
    ("arrows4", ARROWS, {}, 216),
    ("arrows4", ARROWS, {}, 217),
    ("arrows4", ARROWS, {"train.ema": 0.95}, 218),
    ("arrows4 deep", ARROWS, DEEP, 219),
    ("arrows4 grown", ARROWS, GROWN, 220),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tree", "changes", "seed"), RUNS, ids=[f"{run[0]}-{run[3]}" for run in RUNS]
)
def test_silence(
    name: str, tree: dict[str, Any], changes: dict[str, Any], seed: int, cache: Path
) -> None:
    tree = deepcopy(tree)
    for path, value in {**changes, "train.seed": seed}.items():
        set_value(tree, path, value)
    config = experiment_from(tree)
    reports = list(Trainer(config, config.task.build(cache)).run())
    # A run that does not learn would be silent about nothing.
    assert reports[-1].exact_accuracy > 0.5
    findings = diagnose([report.row() for report in reports], config.diagnostics)
    assert not findings, describe(findings)
    assert not any(report.collapsed for report in reports)
