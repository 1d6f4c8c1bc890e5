"""Everything that an experiment is made of, checked at once before it is trained."""

from __future__ import annotations

from weakref import ref

import torch

from trm.config import Experiment
from trm.errors import UserError
from trm.learning.soundness import (
    CPU,
    require_sound_halting,
    require_sound_loss,
    require_sound_optimizer,
)
from trm.network.float64 import has_float64
from trm.network.model import TRM, ModelConfig
from trm.tasks.base import Task
from trm.tasks.soundness import require_sound_task

_last: ref[Task] | None = None
"""The task that was found sound last: a worker trains trial after trial on the same one."""


def require_sound(config: Experiment, task: Task, device: torch.device = CPU) -> None:
    """Check an experiment's task, loss, halting rule and optimiser; a model checks its own parts.

    Of the task `train` and `valid` alone: nothing that trains reads `test`.

    Args:
        device: where the parts are to work. Where it has no float64 they are tried on it, as what
            works elsewhere may not; else on the CPU.

    Raises:
        Fault: one line naming the component, what it gave and the remedy.
    """
    require_drafts(config)
    global _last
    if _last is None or _last() is not task:
        require_sound_task(task, ("train", "valid"))
        _last = ref(task)
    require_sound_parts(config, CPU if has_float64(device) else device)


def require_drafts(config: Experiment) -> None:
    """Check that drafts reach the steps that are to undo them.

    Raises:
        UserError: one line naming the key, its value and the remedy.
    """
    share = config.train.draft.share
    if share and not config.model.carry_latent:
        raise UserError(
            "train.draft.share", share,
            "needs model.carry_latent true: else each supervision step begins anew, without it",
        )  # fmt: skip
    if config.loss.undoes_drafts and not share:
        raise UserError("loss.corrupt_with", "draft", "needs drafts: set train.draft.share above 0")


def require_sound_parts(config: Experiment, device: torch.device = CPU) -> None:
    """The same without the task, on that device."""
    require_sound_loss(config.loss.loss_type, device=device)
    require_sound_halting(config.halting, config.model, device=device)
    require_sound_optimizer(config.optimizer, device)


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
        grid=task.grid_shape,
        generator=torch.Generator().manual_seed(0),
    )
