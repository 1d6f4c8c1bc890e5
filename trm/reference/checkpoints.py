"""A checkpoint of ours from one of the reference repository: it evaluates, solves and fine-tunes.

What a file of weights does not say comes from a config beside it: `config/arch/*.yaml`, or
`all_config.yaml`, which the reference's `pretrain.py` writes beside its checkpoints and which has
the whole recipe.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trm.checkpoint.head import Head
from trm.checkpoint.writing import save_weights
from trm.config import Experiment
from trm.device import resolve
from trm.errors import UserError
from trm.files.yaml12 import dump_yaml
from trm.learning.ema import NOT_AVERAGED
from trm.provenance import provenance
from trm.reference.configs import epoch_of, model_config
from trm.reference.weights import read_weights, require_shapes
from trm.tasks.base import Task
from trm.training.budget import budget_flops
from trm.training.build import fresh_model

CONFIG_FILE = "config.yaml"
"""In the checkpoint's folder: the experiment, to fine-tune with."""

_MODEL = "TinyRecursiveReasoningModel_ACTV1"
_OPTIMIZER = (
    "lr", "lr_min_ratio", "lr_warmup_steps", "beta1", "beta2", "weight_decay", "puzzle_emb_lr",
    "puzzle_emb_weight_decay",
)  # fmt: skip
"""Keys of the reference's recipe that are ours by the same name."""
_STEP = re.compile(r"step_(\d+)")


@dataclass(frozen=True)
class Recipe:
    """What a config of the reference says.

    Attributes:
        tree: sections `model`, `loss`, `optimizer` and `train` of an experiment.
        epochs: of the training; None where it does not say.
        data: folders of its data, as they are written there.
        lines: what is not taken as it stands, one line each.
    """

    tree: dict[str, Any]
    epochs: int | None
    data: tuple[str, ...]
    lines: tuple[str, ...]


def read_recipe(given: Mapping[str, Any], path: Path, initial: torch.dtype) -> Recipe:
    """An arch config, or a whole `all_config.yaml`, in our sections.

    Args:
        given: the file as a tree.
        path: of it, for messages.
        initial: type of the initial states in the file of weights.

    Raises:
        UserError: it is neither, or of another model.
    """
    arch = given.get("arch", given)
    if not isinstance(arch, Mapping) or "hidden_size" not in arch:
        raise UserError(
            f"{path}: holds no arch config of the reference: give config/arch/trm.yaml as the "
            "model had it, or the all_config.yaml beside the checkpoint"
        )
    name = str(arch.get("name", _MODEL))
    if name.rpartition("@")[2] != _MODEL or "singlez" in name or "hier" in name:
        raise UserError("arch.name", name, f"is another model; only trm@{_MODEL} is read")
    precision, lines = _precision(str(arch.get("forward_dtype", "bfloat16")), initial)
    train: dict[str, Any] = {"precision": precision}
    optimizer = {key: given[key] for key in _OPTIMIZER if key in given}
    whole = arch is not given
    epochs = None
    if whole:
        train |= _train(given)
        epochs = given.get("epochs")
    else:
        lines.append(
            "the arch config says nothing of the recipe: optimizer and train have their defaults; "
            "all_config.yaml has what it was trained with"
        )
    loss = arch.get("loss")
    kind = loss.get("loss_type") if isinstance(loss, Mapping) else None
    tree = {
        "model": model_config(arch).model_dump(mode="json"),
        "loss": {"loss_type": kind} if kind else {},
        "optimizer": {"name": "adam_atan2", **optimizer},
        "train": train,
    }
    data = given.get("data_paths", ())
    folders = tuple(map(str, data)) if isinstance(data, list) else ()
    return Recipe(tree, epochs if isinstance(epochs, int) else None, folders, tuple(lines))


def _precision(named: str, initial: torch.dtype) -> tuple[str, list[str]]:
    """What `train.precision` computes as the reference does, and what is to be said of it."""
    if named == "float32":
        return "float32", []
    if named != "bfloat16":
        return "float32", [f"arch.forward_dtype {named}: computed in float32 here"]
    if initial == torch.float32:
        return "float32", [
            "arch.forward_dtype bfloat16 with H_init and L_init in float32: from those the "
            "reference computes in float32 but for its embeddings, and so does this"
        ]
    return "bfloat16", []


def _train(given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"ema": given.get("ema_rate", 0.999) if given.get("ema") else None}
    for theirs, ours in (("global_batch_size", "batch_size"), ("seed", "seed")):
        if theirs in given:
            found[ours] = given[theirs]
    if given.get("freeze_weights"):
        found["freeze"] = {"parts": ["body"], "share": 1.0}
    epochs, interval = given.get("epochs"), given.get("eval_interval")
    if isinstance(epochs, int) and isinstance(interval, int) and interval > 0:
        found["reports"] = max(epochs // interval, 1)
    return found


def trained_steps(recipe: Recipe, config: Experiment, task: Task) -> tuple[int, str] | None:
    """Steps of the recipe's training on a task, with a line about it; None where it says none."""
    if recipe.epochs is None:
        return None
    puzzles, batch = epoch_of(task), config.train.batch_size
    steps = max(recipe.epochs * puzzles // batch, 1)
    return steps, (
        f"epochs {recipe.epochs:,}: train.budget.steps {steps:,}, as an epoch here has {puzzles:,} "
        f"puzzles, {puzzles / batch:,.4g} steps; the reference drops what fills no batch before "
        "each evaluation"
    )


@dataclass(frozen=True)
class FoundWeights:
    """Weights of the reference that fit a model of ours.

    Attributes:
        weights: by the model's names, parameters in float32.
        step: that the file's name says; 0 if it says none.
        initial: type of the initial states as they are stored.
    """

    weights: dict[str, Tensor]
    step: int
    initial: torch.dtype


def found_weights(path: Path) -> FoundWeights:
    """The weights of a file.

    Raises:
        UserError: it holds none of a TRM.
    """
    state = read_weights(path)
    if "H_init" not in state or "embed_tokens" not in state:
        raise UserError(f"{path}: holds no H_init or embed_tokens: it is no checkpoint of a TRM")
    named = _STEP.search(path.name)
    weights = {name: tensor.float() for name, tensor in state.items()}
    return FoundWeights(weights, int(named[1]) if named else 0, state["H_init"].dtype)


def write_imported(
    out: Path, path: Path, found: FoundWeights, config: Experiment, task: Task
) -> tuple[int, str]:
    """Write the checkpoint of an experiment whose weights they are.

    Args:
        out: a folder that is not there.
        path: of the file of weights, for messages.

    Returns:
        How many parameters it has, and what mixes its positions.

    Raises:
        UserError: they are the weights of another model or task.
        StorageError: storage is full, read-only or gone.
    """
    model = fresh_model(config, task, config.train.seed)
    require_shapes(path, found.weights, model.state_dict())
    averaged = {name for name, _ in model.named_parameters() if name != NOT_AVERAGED}
    # The reference saves the weights that it evaluates: live ones are not to be had.
    averages = {name: found.weights[name] for name in averaged if config.averages}
    head = Head(
        config, resolve(config.train), budget_flops(config, task), config.train.marks,
        {"counters": {"step": found.step}},
        provenance(config.modules) | {"imported": path.name},
    )  # fmt: skip
    save_weights(out, head, task, found.weights, averages, {CONFIG_FILE: dump_yaml(config.tree())})
    return sum(p.numel() for p in model.parameters()), config.model.mixers[0]
