"""The reference repository's names: state dict, arch config and command-line overrides.

SamsungSAILMontreal/TinyRecursiveModels, `models/recursive_reasoning/trm.py`, `config/arch/trm.yaml`
and `pretrain.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from curricula.curriculum import Curriculum
from trm.config import Experiment
from trm.learning.halting import HaltingConfig
from trm.network.model import ModelConfig
from trm.tasks.base import Task
from trm.yaml12 import dump_yaml

CHECKPOINT_PREFIX = "_orig_mod.model."
"""What compilation and the loss head put before the names in a saved checkpoint."""

_WHOLE = {
    "embed_tokens": "inner.embed_tokens.embedding_weight",
    "embed_pos": "inner.embed_pos.embedding_weight",
    "puzzle_emb": "inner.puzzle_emb.weights",
    "H_init": "inner.H_init",
    "L_init": "inner.L_init",
}
_OURS, _THEIRS = "layers.", "inner.L_level.layers."
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


def import_state_dict(reference: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A reference state dict, saved with or without its prefixes, in our names."""
    back = {theirs: ours for ours, theirs in _WHOLE.items()}
    state = {}
    for full, tensor in reference.items():
        name = full.removeprefix("_orig_mod.").removeprefix("model.")
        if name in back:
            state[back[name]] = tensor
        elif name.startswith(_THEIRS):
            state[_OURS + name.removeprefix(_THEIRS)] = tensor
        else:
            state[name.removeprefix("inner.")] = tensor
    return state


def export_state_dict(state: Mapping[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """Our state dict in the reference's names; `CHECKPOINT_PREFIX` makes them a checkpoint's."""

    def name_of(ours: str) -> str:
        if ours in _WHOLE:
            return _WHOLE[ours]
        if ours.startswith(_OURS):
            return _THEIRS + ours.removeprefix(_OURS)
        return f"inner.{ours}"

    return {prefix + name_of(ours): tensor for ours, tensor in state.items()}


def model_config(arch: Mapping[str, Any]) -> ModelConfig:
    """Our model config from a reference arch config, its own defaults filled in."""
    mlp_t = bool(arch.get("mlp_t", False))
    positions = arch.get("pos_encodings", "rope")
    values = {key: arch[key] for key in _SHARED_KEYS if key in arch}
    if not arch.get("puzzle_emb_ndim", 0):
        # Without an embedding the reference ignores the length of its prefix.
        values["puzzle_emb_len"] = 0
    return ModelConfig(
        **values,
        expansion=float(arch.get("expansion", 4)),
        mixer="mlp_t" if mlp_t else "attention",
        pos_encodings="none" if mlp_t and positions == "rope" else positions,
        puzzle_emb_ndim=arch.get("puzzle_emb_ndim", 0),
        rope_theta=float(arch.get("rope_theta", 10_000.0)),
        rms_norm_eps=float(arch.get("rms_norm_eps", 1e-5)),
    )


def arch_config(config: Experiment) -> dict[str, Any]:
    """The reference's arch config of an experiment, as `config/arch/*.yaml` holds it."""
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
        "forward_dtype": "float32" if config.train.precision == "float32" else "bfloat16",
        "mlp_t": model.mixer == "mlp_t",
        "puzzle_emb_len": model.puzzle_emb_len,
        "no_ACT_continue": model.no_ACT_continue,
    }
    # The shipped file leaves these two to the reference's own defaults, which are ours too.
    for key in ("rope_theta", "rms_norm_eps"):
        if getattr(model, key) != ModelConfig.model_fields[key].default:
            arch[key] = getattr(model, key)
    return arch


def inexpressible(config: Experiment) -> list[str]:
    """Settings of an experiment that the reference's code cannot express, one line each."""
    found = []

    def note(key: str, value: object, instead: object) -> None:
        if value != instead:
            found.append(f"{key} {value}: the reference has {instead}")

    note("optimizer.name", config.optimizer.name, "adam_atan2")
    note("optimizer.grad_clip", config.optimizer.grad_clip, None)
    note("loss.halt_weight", config.loss.halt_weight, 0.5)
    note("halting.name", config.halting.name, "threshold")
    if isinstance(config.halting, HaltingConfig):
        note("halting.threshold", config.halting.threshold, 0.5)
    for key, value, theirs in (
        ("mixer", config.model.mixer, ("attention", "mlp_t")),
        ("pos_encodings", config.model.positions, ("rope", "learned", "none")),
    ):
        if value not in theirs:
            found.append(f"model.{key} {value}: the reference has {', '.join(theirs)}")
    note("model.swiglu_multiple", config.model.swiglu_multiple, 256)
    note("model.carry_latent", config.model.carry_latent, True)
    note("model.one_step_gradient", config.model.one_step_gradient, False)
    if not config.model.no_ACT_continue:
        note("loss.continue_weight", config.loss.continue_weight, 0.5)
        found.append("model.no_ACT_continue false: the reference's code fails with it")
    if config.loss.loss_type != "stablemax_cross_entropy":
        found.append(f"loss.loss_type {config.loss.loss_type}: the reference's code fails with it")
    still = Curriculum()
    for part in Curriculum.model_fields:
        value = getattr(config.curriculum, part)
        if part not in ("name", "feedback_every") and value != getattr(still, part):
            name = getattr(value, "name", value)
            found.append(f"curriculum.{part} {name}: the reference has no curriculum")
    return found


def overrides(config: Experiment, task: Task, steps: int) -> list[str]:
    """The overrides for `pretrain.py` that make the same run: `steps` steps of the same recipe.

    The reference counts epochs over its puzzles (groups), one example of each; its total steps are
    epochs * puzzles / batch size. `eval_interval` must divide `epochs`.
    """
    train, optimizer = config.train, config.optimizer
    epochs = steps * train.batch_size / len(task.split("train"))
    interval = max(round(epochs / train.reports), 1)
    values: dict[str, Any] = {
        "global_batch_size": train.batch_size,
        "epochs": max(round(epochs / interval), 1) * interval,
        "eval_interval": interval,
        "lr": optimizer.lr,
        "lr_min_ratio": optimizer.lr_min_ratio,
        "lr_warmup_steps": optimizer.lr_warmup_steps,
        "beta1": optimizer.beta1,
        "beta2": optimizer.beta2,
        "weight_decay": optimizer.weight_decay,
        "puzzle_emb_lr": optimizer.puzzle_emb_lr,
        "puzzle_emb_weight_decay": optimizer.puzzle_emb_weight_decay,
        "seed": train.seed,
        "ema": bool(train.ema),
    }
    if train.ema:
        values["ema_rate"] = train.ema
    return [f"{key}={value}" for key, value in values.items()]


def reference_file(config: Experiment, task: Task, steps: int, name: str = "trm_best") -> str:
    """The arch YAML as text, with the command that trains it and what it cannot say as comments."""
    lines = [
        f"save this as config/arch/{name}.yaml of the reference repository, then:",
        f"  python pretrain.py arch={name} 'data_paths=[YOUR_DATA]' 'evaluators=[]' \\",
        *(f"    {override} \\" for override in overrides(config, task, steps)[:-1]),
        f"    {overrides(config, task, steps)[-1]}",
    ]
    missing = inexpressible(config)
    if missing:
        lines += ["NOT expressible there, so that run will differ:", *(f"  {m}" for m in missing)]
    head = "".join(f"# {line}\n" for line in lines)
    return head + dump_yaml(arch_config(config))
