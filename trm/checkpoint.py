"""Checkpoints: a folder with safetensors for tensors and JSON for the rest, written atomically.

    weights.safetensors    live weights
    ema.safetensors        averaged weights, where EMA is on
    training.safetensors   optimiser moments, carry, generator states
    checkpoint.json        config, machine decisions, counters, versions; `schema_version`, and
                           checksums of all files

Nothing here pickles or unpickles.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from curricula.component import shown
from trm.blame import StorageError, blame
from trm.config import Experiment, experiment_from
from trm.device import Resolved, is_here, require_here, resolve
from trm.errors import UserError
from trm.files.replace import sync
from trm.files.sums import FILES, HEAD, crc32_of, is_sound, with_sums
from trm.network.model import TRM
from trm.plugins import import_plugins, plugin_names
from trm.tasks.base import Task
from trm.training.build import build_model
from trm.training.state import State, contiguous
from trm.training.steps.kernel import with_kernel
from trm.training.trainer import Trainer

CHECKPOINT_VERSION = 1
MOST_NAMES = 100_000
"""Names of tokens or puzzle identifiers that a checkpoint keeps; more would outweigh a model."""


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
        sums: checksums of the other files, by name; none in an older checkpoint.
        vocabulary: the name of each token, where the task's data decides; none otherwise.
        identifiers: the name of each puzzle identifier, likewise; none if they are very many.
    """

    config: Experiment
    resolved: Resolved
    budget: float
    marks: tuple[float, ...]
    values: dict[str, Any]
    provenance: dict[str, Any]
    sums: dict[str, str] = field(default_factory=dict)
    vocabulary: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()


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


def read_head(folder: Path, *, plugins: bool = False) -> Head:
    """The JSON part of a checkpoint.

    Args:
        plugins: whether to import the plug-ins that its config names, from installed packages and
            the working directory.

    Raises:
        UserError: not a checkpoint, damaged, or written by a newer version.
    """
    path = folder / HEAD
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{folder}: no checkpoint here ({HEAD}: {error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged: not JSON") from error
    version = head.get("schema_version") if isinstance(head, dict) else None
    if version != CHECKPOINT_VERSION:
        raise UserError(f"{path}: schema_version", version, f"is not {CHECKPOINT_VERSION}")
    if not is_sound(head):
        raise UserError(f"{path}: damaged: its checksum differs: use another checkpoint")
    try:
        if plugins:
            import_plugins(plugin_names(head["config"]))
        return Head(
            experiment_from(head["config"]),
            Resolved(**head["resolved"]),
            float(head["budget"]),
            tuple(head["marks"]),
            dict(head["values"]),
            {"data_hash": None, **head["provenance"]},
            dict(head.get(FILES, {})),
            tuple(head.get("vocabulary", ())),
            tuple(head.get("identifiers", ())),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: damaged: {_line(error)}: use another checkpoint") from error


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


def _names(task: Task) -> dict[str, list[str]]:
    """What tokens and puzzle identifiers are called, where the task's data decides."""
    names = {"vocabulary": task.tokens, "identifiers": task.identifiers}
    return {key: [*found] for key, found in names.items() if 0 < len(found) <= MOST_NAMES}


def require_same_vocabulary(folder: Path, head: Head, task: Task) -> None:
    """
    Raises:
        UserError: the checkpoint's tokens have other names than the task's.
    """
    for old, new in zip_longest(head.vocabulary, task.tokens if head.vocabulary else ()):
        if old != new:
            raise UserError(
                f"{folder}: was trained on another vocabulary: its token {shown(old)} is "
                f"{shown(new)} in the data of now: restore the file, or set task.vocabulary"
            )


def require_same_data(folder: Path, head: Head, task: Task) -> None:
    """
    Raises:
        UserError: the checkpoint was trained on other data than the task holds now.
    """
    require_same_vocabulary(folder, head, task)
    if head.provenance["data_hash"] != task.data_hash:
        raise UserError(
            f"{folder}: was trained on other data than its task section gives now: "
            "restore the puzzle file or the version that made the data"
        )


def require_same_config(
    path: Path, old: Experiment, new: Experiment, except_for: tuple[str, ...] = ()
) -> None:
    """
    Raises:
        UserError: `new` has another value somewhere than `old`, which `path` holds; the name of
            the experiment and what lies below the keys `except_for` do not count.
    """
    apart = tuple(f"{key}." for key in except_for)
    before, after = (
        {key: value for key, value in _leaves(tree).items() if not f"{key}.".startswith(apart)}
        for tree in (old.tree(), new.tree())
    )
    for key in [*before, *(key for key in after if key not in before)]:
        if key != "name" and before.get(key) != after.get(key):
            raise UserError(
                f"{key}: {shown(after.get(key))} differs from {shown(before.get(key))} in {path}: "
                "use the same config, or start a new run"
            )


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
            f"{folder}: damaged, its parts do not fit together ({_line(error)}): "
            "use another checkpoint"
        ) from error


def _leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """The values of a config tree by dotted path."""
    if not isinstance(tree, dict):
        return {path: tree}
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _leaves(value, f"{path}.{key}" if path else key)
    return found


def _line(error: Exception) -> str:
    """An exception as part of one line."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 200 else f"{text[:197]}..."


def _tensors(path: Path, head: Head) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"{path}: is missing: use another checkpoint")
    try:
        found = dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path}: damaged, or no safetensors file ({_line(error)}): use another checkpoint"
        ) from error
    if head.sums.get(path.name) not in (None, crc32_of(path)):
        raise UserError(f"{path}: damaged, its checksum differs: use another checkpoint")
    return found
