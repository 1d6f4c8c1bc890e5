"""The reference repository's configs: arch file and command-line overrides, both ways.

SamsungSAILMontreal/TinyRecursiveModels, `models/recursive_reasoning/trm.py`, `config/arch/trm.yaml`
and `pretrain.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curricula.component import shown
from curricula.curriculum import Curriculum
from trm.config import Experiment
from trm.errors import UserError
from trm.files.yaml12 import dump_yaml
from trm.learning.ema import decay_of
from trm.learning.halting import HaltingConfig
from trm.learning.losses import LossConfig
from trm.network.model import ModelConfig
from trm.tasks.base import Task
from trm.tasks.data import DataTask
from trm.tasks.data.reference_folder import examples_of_an_epoch
from trm.validation import validate

_INTERPOLATION = re.compile(r"\$\{\.?(?:arch\.)?(\w+)\}")
_OWN_KEYS = (
    "mlp",
    "norm",
    "separate_networks",
    "state_transfer",
    "initial_state",
    "carry_latent",
    "one_step_gradient",
    "gradient_cycles",
)
"""Of the `model` section: what the reference has fixed, as our defaults are."""
_OWN_LOSSES = (
    "halt_loss",
    "monotonic_weight",
    "label_smoothing",
    "z_loss",
    "residual_weight",
    "consistency_weight",
    "target_corruption",
)
"""Likewise of the `loss` section."""
_SHARED_KEYS = (
    "hidden_size",
    "num_heads",
    "L_layers",
    "H_cycles",
    "L_cycles",
    "halt_max_steps",
    "halt_exploration_prob",
    "no_ACT_continue",
    "puzzle_emb_len",
)


def forward_dtype(config: Experiment, precision: str | None = None) -> str:
    """The reference's `forward_dtype` of an experiment, a name of torch's.

    Args:
        precision: what `train.precision: auto` came to; None is bfloat16, which it is on a GPU, and
            the reference needs one.
    """
    given = config.train.precision
    found = (precision or "bfloat16") if given == "auto" else given
    return "float32" if found == "float32" else "bfloat16"


def model_config(arch: Mapping[str, Any]) -> ModelConfig:
    """Our model config from a reference arch config, its own defaults filled in.

    Interpolations of keys of its own, as the reference's `puzzle_emb_ndim: ${.hidden_size}`, are
    resolved.

    Raises:
        UserError: an interpolation of anything else, or a value that no model can have.
    """
    arch = {key: _interpolated(arch, key) for key in arch}
    for key in ("expansion", "rope_theta", "rms_norm_eps"):
        if key in arch and not isinstance(arch[key], (int, float)):
            raise UserError(f"arch.{key}", arch[key], "must be a number")
    mlp_t = bool(arch.get("mlp_t", False))
    positions = arch.get("pos_encodings", "rope")
    values = {key: arch[key] for key in _SHARED_KEYS if key in arch}
    if not arch.get("puzzle_emb_ndim", 0):
        # Without an embedding the reference ignores the length of its prefix.
        values["puzzle_emb_len"] = 0
    values |= {
        "expansion": float(arch.get("expansion", 4)),
        "mixer": "mlp_t" if mlp_t else "attention",
        "pos_encodings": "none" if mlp_t and positions == "rope" else positions,
        "puzzle_emb_ndim": arch.get("puzzle_emb_ndim", 0),
        "rope_theta": float(arch.get("rope_theta", 10_000.0)),
        "rms_norm_eps": float(arch.get("rms_norm_eps", 1e-5)),
    }
    return validate(ModelConfig, values, "arch")


def _interpolated(arch: Mapping[str, Any], key: str, through: tuple[str, ...] = ()) -> Any:
    """A value of the arch config, or what it refers to in the same file."""
    value = arch[key]
    if not isinstance(value, str) or "${" not in value:
        return value
    found = _INTERPOLATION.fullmatch(value.strip())
    other = found.group(1) if found else ""
    if other not in arch or other in (key, *through):
        raise UserError(
            f"arch.{key}", value, "refers to nothing that this file holds: write the value itself"
        )
    return _interpolated(arch, other, (*through, key))


def arch_config(config: Experiment, precision: str | None = None) -> dict[str, Any]:
    """The reference's arch config of an experiment, as `config/arch/*.yaml` holds it.

    Args:
        precision: as of `forward_dtype`.
    """
    model = config.model
    arch = {
        "name": "recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1",
        "loss": {"name": "losses@ACTLossHead", "loss_type": config.loss.loss_type},
        "halt_exploration_prob": model.halt_exploration_prob,
        "halt_max_steps": model.halt_max_steps,
        "H_cycles": model.H_cycles,
        "L_cycles": model.L_cycles,
        "H_layers": 0,
        "L_layers": model.L_layers,
        "hidden_size": model.hidden_size,
        "num_heads": model.num_heads,
        "expansion": model.expansion,
        "puzzle_emb_ndim": model.embedding_dim,
        "pos_encodings": model.positions,
        "forward_dtype": forward_dtype(config, precision),
        "mlp_t": set(model.mixers) == {"mlp_t"},
        "puzzle_emb_len": model.puzzle_emb_len,
        "no_ACT_continue": model.no_ACT_continue,
    }
    # The shipped file leaves these two to the reference's own defaults, which are ours too.
    for key in ("rope_theta", "rms_norm_eps"):
        if getattr(model, key) != ModelConfig.model_fields[key].default:
            arch[key] = getattr(model, key)
    return arch


def inexpressible(config: Experiment, precision: str | None = None) -> list[str]:
    """Settings of an experiment that the reference's code cannot express, one line each.

    Args:
        precision: as of `forward_dtype`.
    """
    found = []

    def note(key: str, value: object, instead: object) -> None:
        if value != instead:
            found.append(f"{key} {value}: the reference has {instead}")

    note("optimizer.name", config.optimizer.name, "adam_atan2")
    note("optimizer.grad_clip", config.optimizer.grad_clip, None)
    note("loss.halt_weight", config.loss.halt_weight, 0.5)
    for key in _OWN_LOSSES:
        note(f"loss.{key}", getattr(config.loss, key), LossConfig.model_fields[key].default)
    note("halting.name", config.halting.name, "threshold")
    if isinstance(config.halting, HaltingConfig):
        note("halting.threshold", config.halting.threshold, 0.5)
        if config.halting.eval_threshold is not None:
            found.append(
                f"halting.eval_threshold {config.halting.eval_threshold}: the reference evaluates "
                "at full depth"
            )
    for key, value, theirs in (
        ("mixer", ", ".join(dict.fromkeys(config.model.mixers)), ("attention", "mlp_t")),
        ("pos_encodings", config.model.positions, ("rope", "learned", "none")),
    ):
        if value not in theirs:
            found.append(f"model.{key} {value}: the reference has {', '.join(theirs)}")
    note("train.supervision_per_update", config.train.supervision_per_update, 1)
    note("model.swiglu_multiple", config.model.swiglu_multiple, 256)
    for key in _OWN_KEYS:
        field, value = ModelConfig.model_fields[key], getattr(config.model, key)
        if value != field.default:
            told = value if key != "state_transfer" else config.model.state_transfer.name
            theirs = field.default if key != "state_transfer" else field.default.name
            found.append(f"model.{key} {shown(told)}: the reference has {shown(theirs)}")
    if not config.model.no_ACT_continue:
        note("loss.continue_weight", config.loss.continue_weight, 0.5)
        found.append("model.no_ACT_continue false: the reference's code fails with it")
    if config.loss.loss_type != "stablemax_cross_entropy":
        found.append(f"loss.loss_type {config.loss.loss_type}: the reference's code fails with it")
    augment = getattr(config.task, "augment", False)
    if augment:
        found.append(
            f"task.augment {str(augment).lower()}: the reference augments when its data are "
            "built, not while it trains"
        )
    if config.train.draft.share:
        found.append(
            f"train.draft.share {config.train.draft.share}: the reference begins every answer from "
            "nothing"
        )
    if config.train.freeze.share:
        parts = ", ".join(config.train.freeze.parts)
        found.append(
            f"train.freeze.share {config.train.freeze.share}: the reference trains {parts} all "
            "along"
        )
    if config.train.precision == "auto" and precision is None:
        found.append(
            "train.precision auto: decided by machine; the reference has forward_dtype, here "
            f"{forward_dtype(config)}"
        )
    still = Curriculum()
    for part in Curriculum.model_fields:
        value = getattr(config.curriculum, part)
        if part not in ("name", "feedback_every") and value != getattr(still, part):
            name = getattr(value, "name", value)
            found.append(f"curriculum.{part} {name}: the reference has no curriculum")
    return found


@dataclass(frozen=True)
class Epochs:
    """How long the reference trains, in the whole epochs that it counts.

    Attributes:
        epochs: in all.
        interval: between two evaluations; it divides `epochs`.
        steps: that are trained. Of the puzzles between two evaluations the last ones, which fill no
            batch, are dropped.
    """

    epochs: int
    interval: int
    steps: int


def epochs_of(config: Experiment, puzzles: int, steps: int) -> Epochs:
    """The whole epochs whose steps are nearest to `steps`, with as many evaluations as they can.

    Args:
        puzzles: examples of an epoch: one puzzle of each group.
    """
    batch = config.train.batch_size
    wanted = steps * batch / puzzles
    found = []
    for evaluations in range(1, config.train.reports + 1):
        least = math.ceil(batch / puzzles)
        for interval in {math.floor(wanted / evaluations), math.ceil(wanted / evaluations)}:
            # An interval that fills no batch trains nothing.
            whole = max(interval, least)
            trained = evaluations * (whole * puzzles // batch)
            found.append(Epochs(evaluations * whole, whole, trained))
    return min(found, key=lambda one: (abs(one.steps - steps), one.interval))


def epoch_of(task: Task) -> int:
    """Examples of an epoch of the reference on a task's data."""
    folder = task.reference_folder if isinstance(task, DataTask) else None
    return len(task.split("train")) if folder is None else examples_of_an_epoch(folder)


def overrides(config: Experiment, task: Task, steps: int) -> list[str]:
    """The overrides for `pretrain.py` that make the same run: about `steps` steps of the recipe.

    The reference counts whole epochs, which visit every group of puzzles once: `epochs_of`.
    """
    train, optimizer = config.train, config.optimizer
    found = epochs_of(config, epoch_of(task), steps)
    values: dict[str, Any] = {
        "global_batch_size": train.batch_size,
        "epochs": found.epochs,
        "eval_interval": found.interval,
        "lr": optimizer.lr,
        "lr_min_ratio": optimizer.lr_min_ratio,
        "lr_warmup_steps": optimizer.lr_warmup_steps,
        "beta1": optimizer.beta1,
        "beta2": optimizer.beta2,
        "weight_decay": optimizer.weight_decay,
        "puzzle_emb_lr": optimizer.puzzle_emb_lr,
        "puzzle_emb_weight_decay": optimizer.puzzle_emb_weight_decay,
        "seed": train.seed,
        "ema": train.averages,
    }
    if train.ema_half_life is not None:
        values["ema_rate"] = decay_of(train.ema_half_life, 1.0 / max(steps, 1))
    elif train.ema:
        values["ema_rate"] = train.ema
    return [f"{key}={value}" for key, value in values.items()]


def reference_file(
    config: Experiment,
    task: Task,
    steps: int,
    name: str = "trm_best",
    precision: str | None = None,
    told: Sequence[str] | None = None,
) -> str:
    """The arch YAML as text, with the command that trains it and what it cannot say as comments.

    Args:
        precision: as of `forward_dtype`.
        told: what it cannot say but for the length; None is all that is `inexpressible`.
    """
    given = overrides(config, task, steps)
    lines = [
        f"save this as config/arch/{name}.yaml of the reference repository, then:",
        f"  python pretrain.py arch={name} 'data_paths=[YOUR_DATA]' 'evaluators=[]' \\",
        *(f"    {override} \\" for override in given[:-1]),
        f"    {given[-1]}",
    ]
    own = inexpressible(config, precision) if told is None else told
    missing = [*_length(config, epoch_of(task), steps), *own]
    if missing:
        lines += ["NOT expressible there, so that run will differ:", *(f"  {m}" for m in missing)]
    head = "".join(f"# {line}\n" for line in lines)
    return head + dump_yaml(arch_config(config, precision))


def _length(config: Experiment, puzzles: int, steps: int) -> list[str]:
    """How much longer or shorter the reference trains, else nothing."""
    found = epochs_of(config, puzzles, steps)
    if found.steps == steps:
        return []
    return [
        f"train.budget {steps:,} steps: the reference trains {found.steps:,}, for it counts whole "
        f"epochs of {puzzles / config.train.batch_size:,.4g} steps"
    ]
