"""Checkpoints: a folder with safetensors for tensors and JSON for the rest, written atomically.

    weights.safetensors    live weights
    ema.safetensors        averaged weights, where EMA is on
    training.safetensors   optimiser moments, carry, generator states
    checkpoint.json        config, machine decisions, counters, versions; `schema_version`

Nothing here pickles or unpickles.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from trm.config import Experiment, experiment_from
from trm.device import Resolved
from trm.errors import UserError
from trm.model import TRM
from trm.state import State, contiguous
from trm.tasks.base import Task
from trm.trainer import Trainer, build_model

CHECKPOINT_VERSION = 1
_HEAD = "checkpoint.json"


@dataclass(frozen=True)
class Head:
    """What `checkpoint.json` says.

    Attributes:
        config: the experiment that is being trained.
        resolved: the machine decisions of the run.
        budget: training FLOPs of the whole run.
        marks: shares of the budget at which it reports.
        values: counters, data position and optimiser settings.
        provenance: data hash and library versions.
    """

    config: Experiment
    resolved: Resolved
    budget: float
    marks: tuple[float, ...]
    values: dict[str, Any]
    provenance: dict[str, Any]


def save_checkpoint(
    folder: Path, trainer: Trainer, provenance: dict[str, Any] | None = None
) -> None:
    """Write the trainer's full state to a new folder, which holds the whole of it or is absent."""
    assert not folder.exists(), folder
    state = trainer.state_dict()
    head = {
        "schema_version": CHECKPOINT_VERSION,
        "config": trainer.config.tree(),
        "resolved": asdict(trainer.resolved),
        "budget": trainer.budget,
        "marks": list(trainer.marks),
        "values": state.values,
        "provenance": {"data_hash": trainer.task.data_hash, **(provenance or {})},
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    save_file(contiguous(state.weights), partial / "weights.safetensors")
    if state.ema:
        save_file(contiguous(state.ema), partial / "ema.safetensors")
    save_file(contiguous(state.training), partial / "training.safetensors")
    (partial / _HEAD).write_text(json.dumps(head, indent=1) + "\n", encoding="utf-8")
    for path in partial.iterdir():
        _fsync(path)
    _fsync(partial)
    os.replace(partial, folder)
    _fsync(folder.parent)


def read_head(folder: Path) -> Head:
    """The JSON part of a checkpoint.

    Raises:
        UserError: not a checkpoint, damaged, or written by a newer version.
    """
    path = folder / _HEAD
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{folder}: no checkpoint here ({_HEAD}: {error.strerror})") from error
    except ValueError as error:
        raise UserError(f"{path}: damaged: not JSON") from error
    version = head.get("schema_version") if isinstance(head, dict) else None
    if version != CHECKPOINT_VERSION:
        raise UserError(f"{path}: schema_version", version, f"is not {CHECKPOINT_VERSION}")
    return Head(
        experiment_from(head["config"]),
        Resolved(**head["resolved"]),
        head["budget"],
        tuple(head["marks"]),
        head["values"],
        head["provenance"],
    )


def read_state(folder: Path, head: Head) -> State:
    """The tensors of a checkpoint and its values."""
    ema = folder / "ema.safetensors"
    return State(
        weights=_tensors(folder / "weights.safetensors"),
        ema=_tensors(ema) if ema.exists() else {},
        training=_tensors(folder / "training.safetensors"),
        values=head.values,
    )


def load_checkpoint(folder: Path, trainer: Trainer) -> None:
    """Restore the full state into a trainer of the same config and data.

    Raises:
        UserError: the checkpoint belongs to other data, or to another config.
    """
    head = read_head(folder)
    if head.provenance["data_hash"] != trainer.task.data_hash:
        raise UserError(f"{folder}: was trained on other data: give it the same task section")
    if _identity(head.config) != _identity(trainer.config):
        raise UserError(f"{folder}: was trained with another config: use its own, or start anew")
    trainer.load_state_dict(read_state(folder, head))


def resume(folder: Path, task: Task) -> Trainer:
    """A trainer that goes on where the checkpoint stands, with its config and decisions."""
    head = read_head(folder)
    trainer = Trainer(head.config, task, head.budget, head.marks, head.resolved)
    load_checkpoint(folder, trainer)
    return trainer


def load_model(folder: Path, task: Task, resolved: Resolved | None = None) -> tuple[TRM, Head]:
    """The model to evaluate: with EMA weights where the run kept them."""
    head = read_head(folder)
    model = build_model(head.config, task, resolved or head.resolved, head.config.train.seed)
    state = read_state(folder, head)
    model.load_state_dict(state.weights)
    if state.ema:
        model.load_state_dict(state.ema, strict=False)
    model.eval()
    return model, head


def _identity(config: Experiment) -> dict[str, Any]:
    tree = config.tree()
    del tree["name"]
    return tree


def _tensors(path: Path) -> dict[str, Any]:
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: damaged or missing: {error}") from error


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
