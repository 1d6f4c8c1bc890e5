"""Small trainings for the checks and the measurements on a GPU, without Ray, Optuna or pytest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from typing import Any

import torch

from trm.config import experiment_from
from trm.tasks.base import Task
from trm.training import trainer as trainer_module
from trm.training.trainer import Trainer

TREE: dict[str, Any] = {
    "name": "gpu",
    "task": {
        "name": "arrows", "size": 3, "visited": [2, 4],
        "train_examples": 150, "valid_examples": 40, "test_examples": 30,
    },
    "model": {
        "mixer": "mlp_t", "hidden_size": 16, "num_heads": 2, "L_layers": 1, "H_cycles": 2,
        "L_cycles": 2, "expansion": 1.0, "swiglu_multiple": 16, "puzzle_emb_len": 1,
        "halt_max_steps": 3, "halt_exploration_prob": 0.3,
    },
    "optimizer": {"name": "adamw", "lr": 1e-2, "lr_warmup_steps": 5, "weight_decay": 0.1},
    "train": {
        "batch_size": 16, "budget": {"steps": 40}, "reports": 2, "ema": 0.9,
        "precision": "float32", "cuda_graphs": "off",
    },
}  # fmt: skip

HARD: dict[str, Any] = {
    "task": {
        "name": "sudoku", "box": [3, 3], "blanks": 30,
        "train_examples": 512, "valid_examples": 16, "test_examples": 16,
    },
    "model": {
        "mixer": "mlp_t", "num_heads": 4, "H_cycles": 3, "L_cycles": 6, "L_layers": 2,
        "expansion": 4.0, "swiglu_multiple": 256, "puzzle_emb_len": 16, "halt_max_steps": 16,
    },
    "optimizer": {"name": "adamw", "lr": 1e-4},
    "train": {
        "batch_size": 256, "budget": {"steps": 100_000}, "ema": 0.999, "precision": "auto",
        "cuda_graphs": "off",
    },
}  # fmt: skip


def changed(tree: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The tree with values at dotted paths."""
    out = deepcopy(tree)
    for path, value in changes.items():
        *rooms, leaf = path.split(".")
        room = out
        for name in rooms:
            room = room.setdefault(name, {})
        room[leaf] = value
    return out


@cache
def _task(section: str) -> Task:
    return experiment_from({"task": json.loads(section)}).task.build()


def training(tree: dict[str, Any], device: str, changes: dict[str, Any] | None = None) -> Trainer:
    """A trainer on the device; tasks are built once."""
    config = experiment_from(
        changed(tree, {"train.device": device, "train.kernel": "eager", **(changes or {})})
    )
    return Trainer(config, _task(json.dumps(changed(tree, changes or {})["task"])))


@contextmanager
def going_ahead(device: str, ahead: bool = True) -> Iterator[None]:
    """Trainers that are made inside go ahead of the device, the CPU too; or they wait for it."""
    before = trainer_module.AHEAD
    kind = torch.device(device).type
    trainer_module.AHEAD = before | {kind} if ahead else before - {kind}
    try:
        yield
    finally:
        trainer_module.AHEAD = before


@contextmanager
def no_waits(device: str) -> Iterator[None]:
    """On CUDA every call that waits for the device raises inside."""
    if torch.device(device).type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
