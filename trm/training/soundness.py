"""Everything that an experiment is made of, checked at once before it is trained."""

from __future__ import annotations

from weakref import ref

import torch

from trm.config import Experiment
from trm.learning.soundness import (
    require_sound_halting,
    require_sound_loss,
    require_sound_optimizer,
)
from trm.network.model import TRM, ModelConfig
from trm.tasks.base import Task
from trm.tasks.soundness import require_sound_task

_last: ref[Task] | None = None
"""The task that was found sound last: a worker trains trial after trial on the same one."""


def require_sound(config: Experiment, task: Task) -> None:
    """Check an experiment's task, loss, halting rule and optimiser; a model checks its own parts.

    Of the task `train` and `valid` alone: nothing that trains reads `test`.

    Raises:
        Fault: one line naming the component, what it gave and the remedy.
    """
    global _last
    if _last is None or _last() is not task:
        require_sound_task(task, ("train", "valid"))
        _last = ref(task)
    require_sound_parts(config)


def require_sound_parts(config: Experiment) -> None:
    """The same without the task."""
    require_sound_loss(config.loss.loss_type)
    require_sound_halting(config.halting, config.model)
    require_sound_optimizer(config.optimizer)


def require_sound_model(config: ModelConfig, task: Task) -> None:
    """Make a model for a task, which tries its mixer and its positions.

    Raises:
        Fault: as in `require_sound`.
    """
    TRM(
        config,
        seq_len=task.seq_len,
        vocab_size=task.vocab_size,
        num_puzzle_identifiers=task.num_puzzle_identifiers,
        generator=torch.Generator().manual_seed(0),
    )
