"""A checkpoint that is written: whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from trm.blame import StorageError, blame
from trm.checkpoint.head import CHECKPOINT_VERSION, Head
from trm.files.replace import sync
from trm.files.sums import HEAD, with_sums
from trm.tasks.base import Task
from trm.training.state import contiguous
from trm.training.trainer import Trainer

MOST_NAMES = 100_000
"""Names of tokens or puzzle identifiers that a checkpoint keeps; more would outweigh a model."""


def save_checkpoint(
    folder: Path, trainer: Trainer, provenance: dict[str, Any] | None = None
) -> None:
    """Write the trainer's full state to a new folder, which holds the whole of it or is absent.

    Raises:
        StorageError: storage is full, read-only or gone; nothing is left of what was written.
    """
    state = trainer.state_dict()
    head = Head(
        trainer.config,
        trainer.resolved,
        trainer.budget,
        trainer.marks,
        state.values,
        provenance or {},
    )
    parts = {"weights": state.weights, "ema": state.ema, "training": state.training}
    _write(folder, head, trainer.task, parts)


def save_weights(
    folder: Path,
    head: Head,
    task: Task,
    weights: Mapping[str, Tensor],
    averages: Mapping[str, Tensor],
    files: Mapping[str, str],
) -> None:
    """Write a checkpoint of weights alone, which evaluates and starts other runs.

    Args:
        weights: by the model's names.
        averages: of the weights, where the config keeps them.
        files: texts to keep beside it, by name.

    Raises:
        StorageError: as of `save_checkpoint`.
    """
    _write(folder, head, task, {"weights": weights, "ema": averages}, files)


def _write(
    folder: Path,
    head: Head,
    task: Task,
    parts: Mapping[str, Mapping[str, Tensor]],
    files: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """A new checkpoint of named tensors, whole or not at all; an empty part but the weights is not
    written."""
    assert not folder.exists(), folder
    tree = {
        "schema_version": CHECKPOINT_VERSION,
        "config": head.config.tree(),
        "resolved": asdict(head.resolved),
        "budget": head.budget,
        "marks": list(head.marks),
        "values": head.values,
        "provenance": {"data_hash": task.data_hash, **head.provenance},
        **_names(task),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        for name, tensors in parts.items():
            if tensors or name != "ema":
                save_file(contiguous(tensors), partial / f"{name}.safetensors")
        for name, text in files.items():
            (partial / name).write_text(text, encoding="utf-8")
        text = json.dumps(with_sums(tree, partial), indent=1) + "\n"
        (partial / HEAD).write_text(text, encoding="utf-8")
        for path in partial.iterdir():
            sync(path)
        sync(partial)
        os.replace(partial, folder)
        sync(folder.parent)
    except Exception as error:
        shutil.rmtree(partial, ignore_errors=True)
        found = blame(error)
        if found.culprit != "storage":
            raise
        held = [tensor for tensors in parts.values() for tensor in tensors.values()]
        needed = sum(tensor.nbytes for tensor in held) + (1 << 20)
        raise StorageError(str(folder), found.words, needed) from error


def _names(task: Task) -> dict[str, list[str]]:
    """What tokens and puzzle identifiers are called, where the task's data decides."""
    names = {"vocabulary": task.tokens, "identifiers": task.identifiers}
    return {key: [*found] for key, found in names.items() if 0 < len(found) <= MOST_NAMES}
