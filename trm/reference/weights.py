"""Weights of the reference repository: read from its checkpoints, and written for its loader.

A checkpoint there is a state dict that `torch.save` wrote; nothing in one is executed. Names and
types as in SamsungSAILMontreal/TinyRecursiveModels, `pretrain.py` (`save_train_state`,
`load_checkpoint`) and `models/recursive_reasoning/trm.py`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from trm.config import Experiment
from trm.errors import UserError
from trm.network.layers import swiglu_width
from trm.network.model import ModelConfig

CHECKPOINT_PREFIX = "_orig_mod.model."
"""What compilation and the loss head put before the names in a saved checkpoint."""
WIDTH_MULTIPLE = 256
"""What the reference rounds the width of a SwiGLU up to."""

_WHOLE = {
    "embed_tokens": "inner.embed_tokens.embedding_weight",
    "embed_pos": "inner.embed_pos.embedding_weight",
    "puzzle_emb": "inner.puzzle_emb.weights",
    "H_init": "inner.H_init",
    "L_init": "inner.L_init",
}
_BACK = {theirs: ours for ours, theirs in _WHOLE.items()}
_INITIAL = ("H_init", "L_init")
_OURS, _THEIRS = "layers.", "inner.L_level.layers."
_WRAPPERS = ("_orig_mod", "module", "model")
"""Parts of a name that compilation, data parallelism and the loss head add, wherever they stand."""
_HOLDERS = ("state_dict", "model_state_dict", "model", "ema_state_dict")
"""Keys under which a file may hold a state dict beside other things."""
_UNUSED = re.compile(r"inner\.(rotary_emb\..*|puzzle_emb\.local_.*)")
"""Buffers that the reference makes anew."""
_OTHER_MODEL = re.compile(r"inner\.H_level\.")
_SWIGLU = re.compile(r"(layers\.\d+\.mlp(?:_t)?)\.down_proj\.weight")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict of a file, in our names.

    Raises:
        UserError: it holds none, or more than tensors, which is not read: that would be code; a
            weight is no finite number, or stands there twice.
    """
    try:
        if path.suffix == ".safetensors":
            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise UserError(
            f"{path}: holds no state dict of tensors alone: nothing else is read, for it could run "
            "code: save `model.state_dict()`"
        ) from error
    except Exception as error:  # each way to be damaged has its own
        why = " ".join(str(error).split())[:120]
        raise UserError(
            f"{path}: holds no state dict, or is damaged or cut short ({type(error).__name__}: "
            f"{why}): copy it again"
        ) from error
    for holder in _HOLDERS:
        if isinstance(found, Mapping) and isinstance(found.get(holder), Mapping):
            found = found[holder]
    if not isinstance(found, Mapping) or not all(isinstance(t, Tensor) for t in found.values()):
        raise UserError(f"{path}: holds no state dict of tensors: save `model.state_dict()`")
    names = [_their_name(str(name)) for name in found]
    if other := next((name for name in names if _OTHER_MODEL.match(name)), None):
        raise UserError(f"{path}: {other} is a weight of HRM's, not of a TRM: only these are read")
    if twice := next((name for name, count in Counter(names).items() if count > 1), None):
        raise UserError(f"{path}: holds {twice} under two names: save `model.state_dict()`")
    state = import_state_dict(found)
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            raise UserError(f"{path}: {_their_of(name)} is of {tensor.dtype}: save it as floats")
        if not tensor.isfinite().all():
            raise UserError(
                f"{path}: {_their_of(name)} holds values that are not finite: give another "
                "checkpoint"
            )
    return state


def import_state_dict(reference: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A reference state dict, whatever prefixes it was saved with, in our names.

    >>> names = ["_orig_mod.model.inner.H_init", "model.inner.L_level._orig_mod.layers.0.x"]
    >>> list(import_state_dict(dict.fromkeys(names, torch.zeros(1))))
    ['H_init', 'layers.0.x']
    """
    state = {}
    for full, tensor in reference.items():
        name = _their_name(full)
        if _UNUSED.fullmatch(name):
            continue
        if name in _BACK:
            state[_BACK[name]] = tensor
        elif name.startswith(_THEIRS):
            state[_OURS + name.removeprefix(_THEIRS)] = tensor
        else:
            state[name.removeprefix("inner.")] = tensor
    return state


def _their_name(full: str) -> str:
    """A name without what wraps a model, below `inner`."""
    parts = [part for part in full.split(".") if part not in _WRAPPERS]
    return ".".join(parts if parts[0] == "inner" else ["inner", *parts])


def export_state_dict(
    state: Mapping[str, Tensor], prefix: str = "", forward_dtype: torch.dtype | None = None
) -> dict[str, Tensor]:
    """Our state dict in the reference's names; `CHECKPOINT_PREFIX` makes them a checkpoint's.

    Args:
        forward_dtype: of the reference's arch config (`trm.reference.configs`). Its loader
            assigns what it reads, and a carry that starts from initial states in float32 makes the
            whole model compute in float32, whatever the config says; None leaves them as they are,
            which nothing that is loaded there should be.
    """

    def name_of(ours: str) -> str:
        if ours in _WHOLE:
            return _WHOLE[ours]
        if ours.startswith(_OURS):
            return _THEIRS + ours.removeprefix(_OURS)
        return f"inner.{ours}"

    return {
        prefix + name_of(ours): tensor.to(forward_dtype)
        if forward_dtype is not None and ours in _INITIAL
        else tensor
        for ours, tensor in state.items()
    }


def positions_of(state: Mapping[str, Tensor]) -> int | None:
    """How many positions weights in our names are for, prefix included; None where none says it."""
    for name, tensor in state.items():
        if name == "embed_pos":
            return len(tensor)
        if name.endswith(".mlp_t.gate_up_proj.weight"):
            return tensor.shape[1]
    return None


def require_shapes(path: Path, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """
    Args:
        wanted: of a model of ours of the same config and task.

    Raises:
        UserError: the file's weights are those of another model or of another task.
    """
    sizes = {
        "embed_tokens": ("tokens", "the task has", "arch.hidden_size"),
        "puzzle_emb": ("puzzle identifiers", "the task has", "arch.puzzle_emb_ndim"),
        "embed_pos": (
            "positions",
            "the task's cells and arch.puzzle_emb_len make",
            "arch.hidden_size",
        ),
    }
    for name, tensor in wanted.items():
        if name not in state:
            raise UserError(
                f"{path}: has no {_their_of(name)}, which its arch config asks for: give the "
                "config that it was trained with"
            )
        found = tuple(state[name].shape)
        if found == tuple(tensor.shape):
            continue
        if name in sizes and found[1:] == tuple(tensor.shape[1:]):
            raise UserError(
                f"{path}: knows {found[0]:,} {sizes[name][0]}, and {sizes[name][1]} "
                f"{len(tensor):,}: give the task that it was trained on with --task"
            )
        key = sizes[name][2] if name in sizes else "arch config"
        if ".mlp_t." in name and tensor.shape[1:] != state[name].shape[1:]:
            key = "the task's cells with arch.puzzle_emb_len (mlp_t has weights for each position)"
        raise UserError(
            f"{path}: {_their_of(name)} has the shape {list(found)}, and {key} asks for "
            f"{list(tensor.shape)}: give the config and the task that it was trained with"
        )
    for name in state:
        if name not in wanted:
            raise UserError(
                f"{path}: holds {_their_of(name)}, which a model of its arch config does not have: "
                "give the config that it was trained with"
            )


def _their_of(ours: str) -> str:
    (name,) = export_state_dict({ours: torch.empty(0)})
    return name


def unloadable(config: Experiment) -> list[str]:
    """Settings with which the reference's code would compute something else of the weights."""
    model = config.model
    found = []
    if len(set(model.mixers)) > 1 or model.mixers[0] not in ("attention", "mlp_t"):
        found.append(f"model.mixer {', '.join(dict.fromkeys(model.mixers))}")
    if model.positions not in ("rope", "learned", "none"):
        found.append(f"model.pos_encodings {model.positions}")
    found += [
        f"model.{key} {str(getattr(model, key)).lower()}"
        for key in ("mlp", "norm", "separate_networks", "carry_latent")
        if getattr(model, key) != ModelConfig.model_fields[key].default
    ]
    if model.state_transfer.name != "residual":
        found.append(f"model.state_transfer {model.state_transfer.name}")
    if model.initial_state == "random":
        found.append("model.initial_state random")
    return found


def widened(state: Mapping[str, Tensor], expansion: float) -> dict[str, Tensor]:
    """The state with every SwiGLU as wide as the reference has it, by units that give nothing.

    A unit whose rows and column are 0 adds 0 to the sum, has no gradient and stays as it is.

    Raises:
        UserError: a SwiGLU is wider than it would be there.

    >>> narrow = {"layers.0.mlp.gate_up_proj.weight": torch.ones(4, 3),
    ...           "layers.0.mlp.down_proj.weight": torch.ones(3, 2)}
    >>> {name: tuple(t.shape) for name, t in widened(narrow, 1.0).items()}.values()
    dict_values([(512, 3), (3, 256)])
    """
    wide = dict(state)
    for name in state:
        found = _SWIGLU.fullmatch(name)
        if found is None:
            continue
        up, down = f"{found[1]}.gate_up_proj.weight", state[name]
        inner = down.shape[1]
        more = swiglu_width(len(down), expansion, WIDTH_MULTIPLE) - inner
        if more < 0:
            raise UserError(
                f"model.swiglu_multiple: {found[1]} is {inner} wide and would be {inner + more} "
                "there, as the reference has multiples of 256"
            )
        wide[name] = F.pad(down, (0, more))
        halves = (F.pad(half, (0, 0, 0, more)) for half in state[up].chunk(2))
        wide[up] = torch.cat([*halves])
    return wide
