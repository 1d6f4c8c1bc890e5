"""Checkpoints of promise trials, for run folders that were stored without theirs."""

from __future__ import annotations

from pathlib import Path

from search.ledger.reader import read_trials
from trm.checkpoint.writing import save_checkpoint
from trm.config import experiment_from
from trm.training.trainer import Trainer


def with_weights(folder: Path) -> Path:
    """Give the promise trials of a run folder checkpoints of models that know nothing."""
    for trial in read_trials(folder).values():
        if trial.stage == "promise":
            assert trial.checkpoint is not None
            config = experiment_from(trial.config)
            save_checkpoint(folder / trial.checkpoint, Trainer(config, config.task.build()))
    return folder
