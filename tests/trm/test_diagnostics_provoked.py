"""Every detector fires on its failure, provoked in a real tiny training; silent ones beside it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from trm.config import experiment_from, set_value
from trm.diagnostics import Finding, diagnose
from trm.report import Report
from trm.trainer import Trainer

Script = Callable[[Trainer], None]

TREE: dict[str, Any] = {
    "name": "provoked",
    "task": {
        "name": "sudoku", "box": [2, 2], "blanks": 8,
        "train_examples": 2000, "valid_examples": 200, "test_examples": 100,
    },
    "model": {
        "mixer": "mlp_t", "hidden_size": 32, "L_layers": 2, "H_cycles": 1, "L_cycles": 1,
        "expansion": 1.0, "swiglu_multiple": 32, "puzzle_emb_len": 1, "halt_max_steps": 4,
    },
    "optimizer": {
        "name": "adamw", "lr": 3e-3, "lr_warmup_steps": 20, "weight_decay": 0.1,
    },
    "train": {"batch_size": 64, "budget": {"steps": 250}, "reports": 8, "ema": None},
}  # fmt: skip


def train(
    cache: Path, changes: dict[str, Any] | None = None, at: float = 0.7, script: Script | None = None
) -> tuple[list[Report], dict[str, Finding]]:
    """A run with values changed by path, and with a hand in it once, at a share of the budget."""
    tree = deepcopy(TREE)
    for path, value in (changes or {}).items():
        set_value(tree, path, value)
    config = experiment_from(tree)
    trainer = Trainer(config, config.task.build(cache))
    done = False

    def between_steps() -> bool:
        nonlocal done
        if script is not None and not done and trainer.progress >= at:
            script(trainer)
            done = True
        return False

    reports = list(trainer.run(between_steps))
    findings = diagnose([report.row() for report in reports], config.diagnostics)
    assert reports[-1].findings == len(findings)
    return reports, {finding.detector: finding for finding in findings}


def faster(factor: float) -> Script:
    """From now on the learning rate is `factor` times what it would be."""

    def script(trainer: Trainer) -> None:
        before = trainer.optimizer.set_factor
        trainer.optimizer.set_factor = lambda f: before(factor * f)  # type: ignore[method-assign]

    return script


def poison(trainer: Trainer) -> None:
    with torch.no_grad():
        trainer.model.lm_head.weight[0, 0] = torch.inf


def always_halt(trainer: Trainer) -> None:
    with torch.no_grad():
        assert trainer.model.q_head.bias is not None
        trainer.model.q_head.bias.fill_(8.0)
        trainer.model.q_head.weight.zero_()
