"""A training of a second or less, for suites whose component is a part of one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from trm.checkpoint.head import read_head
from trm.checkpoint.reading import load_checkpoint
from trm.checkpoint.writing import save_checkpoint
from trm.config import Experiment, experiment_from, set_value
from trm.training.trainer import Trainer

TREE: dict[str, Any] = {
    "task": {
        "name": "arrows", "size": 3, "visited": [2, 4],
        "train_examples": 60, "valid_examples": 12, "test_examples": 12,
    },
    "model": {
        "hidden_size": 16, "num_heads": 2, "L_layers": 1, "H_cycles": 1, "L_cycles": 2,
        "expansion": 1.0, "swiglu_multiple": 8, "puzzle_emb_len": 1, "halt_max_steps": 3,
    },
    "optimizer": {"name": "adamw", "lr": 1e-2, "lr_warmup_steps": 2},
    "train": {"batch_size": 8, "budget": {"steps": 8}, "reports": 2},
    "diagnostics": {"probe": None},
}  # fmt: skip


def tiny_experiment(changes: Mapping[str, Any]) -> Experiment:
    """A tiny experiment with values set by path, as `{"model.mixer": "mine"}`."""
    tree = deepcopy(TREE)
    for path, value in changes.items():
        set_value(tree, path, value)
    return experiment_from(tree)


def check_trains(changes: Mapping[str, Any]) -> None:
    """Train a few steps, once as a whole and once stopped and resumed in between.

    Raises:
        AssertionError: the two do not end in the same weights, bit for bit; or training diverges.
        UserError: a component breaks its contract.
    """
    config = tiny_experiment(changes)
    with tempfile.TemporaryDirectory() as folder:
        task = config.task.build(Path(folder))
        whole, part = Trainer(config, task), Trainer(config, task)
        before = deepcopy(whole.model.state_dict())
        rows = [report.row() for report in whole.run()]
        assert not rows[-1]["diverged"], "training diverges within 8 steps"
        json.dumps(rows)
        next(part.run())
        save_checkpoint(Path(folder) / "half", part)
        resumed = Trainer(config, task, resolved=read_head(Path(folder) / "half").resolved)
        load_checkpoint(Path(folder) / "half", resumed)
        for _ in resumed.run():
            pass
    ours, theirs = whole.model.state_dict(), resumed.model.state_dict()
    assert ours.keys() == theirs.keys()
    assert not all(torch.equal(ours[name], before[name]) for name in ours), "nothing is learnt"
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), (
            f"{name} differs between a run and one that was stopped and resumed: keep all state in "
            "tensors and numbers of state_dict(), and draw from no global generator"
        )
