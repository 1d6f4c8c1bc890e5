"""A checkpoint that is read: into a trainer that goes on, or a model that is evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from trm.checkpoint.head import Head, in_a_line, read_head
from trm.checkpoint.sameness import (
    require_same_config,
    require_same_data,
    require_same_vocabulary,
)
from trm.device import Resolved, is_here, require_here, resolve
from trm.errors import UserError
from trm.files.sums import crc32_of
from trm.network.model import TRM
from trm.tasks.base import Task
from trm.training.build import build_model
from trm.training.state import State
from trm.training.steps.kernel import with_kernel
from trm.training.trainer import Trainer


def read_state(folder: Path, head: Head, *, training: bool = True) -> State:
    """The tensors of a checkpoint and its values.

    Args:
        training: whether what only going on needs is read too; a sweep's `winner/` lacks it.

    Raises:
        UserError: a file is missing, damaged, or no safetensors file.
    """
    return State(
        weights=_tensors(folder / "weights.safetensors", head),
        ema=_tensors(folder / "ema.safetensors", head) if head.config.averages else {},
        training=_tensors(folder / "training.safetensors", head) if training else {},
        values=head.values,
    )


def load_checkpoint(folder: Path, trainer: Trainer, *, except_for: tuple[str, ...] = ()) -> None:
    """Restore the full state into a trainer of the same config and data.

    Args:
        except_for: keys, or sections as a whole, in which the trainer's config may be another.

    Raises:
        UserError: the checkpoint is damaged, or belongs to other data or to another config.
    """
    _load(folder, read_head(folder), trainer, except_for)


def resume(folder: Path, task: Task) -> Trainer:
    """A trainer that goes on where the checkpoint stands, with its config and decisions.

    Raises:
        UserError: the checkpoint is damaged, belongs to other data, or to a device that is not
            here.
    """
    head = read_head(folder)
    require_here(head.resolved, folder)
    trainer = Trainer(head.config, task, head.budget, head.marks, head.resolved)
    _load(folder, head, trainer)
    return trainer


def load_model(folder: Path, task: Task, resolved: Resolved | None = None) -> tuple[TRM, Head]:
    """The model to evaluate: with EMA weights where the run kept them.

    Args:
        resolved: where to; None is the run's own device, or the best one if that is not here.
    """
    head = read_head(folder)
    require_same_vocabulary(folder, head, task)
    if resolved is None:
        resolved = head.resolved
        if not is_here(torch.device(resolved.device)):
            resolved = resolve(head.config.train.model_copy(update={"device": "auto"}))
    model = build_model(head.config, task, resolved, head.config.train.seed)
    weights = _tensors(folder / "weights.safetensors", head)
    if head.config.averages:
        weights |= _tensors(folder / "ema.safetensors", head)
    with _fitting(folder):
        model.load_state_dict(weights)
    with_kernel(resolved, model, head.resolved.kernel, again=True)
    model.eval()
    return model, head


def _load(folder: Path, head: Head, trainer: Trainer, except_for: tuple[str, ...] = ()) -> None:
    require_same_data(folder, head, trainer.task)
    require_same_config(folder, head.config, trainer.config, except_for)
    state = read_state(folder, head)
    with _fitting(folder):
        trainer.load_state_dict(state)


@contextmanager
def _fitting(folder: Path) -> Iterator[None]:
    """Turn what loading raises for missing or misshapen content into one line."""
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise UserError(
            f"{folder}: damaged, its parts do not fit together ({in_a_line(error)}): "
            "use another checkpoint"
        ) from error


def _tensors(path: Path, head: Head) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"{path}: is missing: use another checkpoint")
    try:
        found = dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path}: damaged, or no safetensors file ({in_a_line(error)}): use another checkpoint"
        ) from error
    if head.sums.get(path.name) not in (None, crc32_of(path)):
        raise UserError(f"{path}: damaged, its checksum differs: use another checkpoint")
    return found
