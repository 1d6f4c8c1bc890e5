"""Whether what a model is made of keeps its shapes: its mixer and its positions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trm.fault import require, working
from trm.network.mixers import MIXERS

if TYPE_CHECKING:
    from trm.network.model import TRM
    from trm.network.model_config import ModelConfig

_ROWS = 2


def require_sound_mixers(model: TRM) -> None:
    """Try each mixer of a model, in the first block that has it, on two rows.

    Raises:
        Fault: it does not give back the shape and type of what it gets, or no finite numbers.
    """
    first = dict(reversed([*zip(model.config.mixers, model.layers, strict=True)]))
    for name, block in first.items():
        _require_sound_mixer(model, name, block)


def _require_sound_mixer(model: TRM, name: str, block: nn.Module) -> None:
    component, kind = f"mixer {name!r}", MIXERS[name]
    mix = getattr(block, kind.attribute)
    shape = (_ROWS, model.positions, model.config.hidden_size)
    rows = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    rows = rows.to(model.H_init.device, model.dtype)
    rows = rows.transpose(1, 2) if kind.turned else rows
    rope = None if model.cos is None or model.sin is None else (model.cos, model.sin)
    with working(component, "on two rows"), torch.no_grad():
        mixed = mix(rows, rope)
    require_like(component, mixed, rows)


def mixing_flops(config: ModelConfig, name: str, positions: int) -> float:
    """FLOPs of the mixer of that name over one row.

    Raises:
        Fault: they are no number of 0 or more.
    """
    component = f"mixer {name!r}"
    with working(component, "to count its FLOPs"):
        flops = MIXERS[name].flops(config, positions)
    require(
        isinstance(flops, int | float) and math.isfinite(flops) and flops >= 0.0, component,
        f"counts {flops!r} FLOPs", "count those of its matrix products, 0 if it has none",
    )  # fmt: skip
    return flops


def require_like(component: str, found: Any, wanted: Tensor) -> None:
    """
    Raises:
        Fault: `found` is no finite tensor of the shape and type of `wanted`.
    """
    require(isinstance(found, Tensor), component, f"gives {type(found).__name__}", "give a tensor")
    require(
        found.shape == wanted.shape, component,
        f"gives {list(found.shape)} for {list(wanted.shape)}", "keep the shape",
    )  # fmt: skip
    require(
        found.dtype == wanted.dtype, component, f"gives {found.dtype} for {wanted.dtype}",
        "compute in the type of the input (CastedLinear does)",
    )  # fmt: skip
    require(bool(found.isfinite().all()), component, "gives numbers that are not finite", "mend it")


def require_sound_table(config: ModelConfig, table: Any, positions: int) -> None:
    """Check what positions add to the embeddings.

    Raises:
        Fault: it is not float32 `[positions, hidden]`, or not finite.
    """
    wanted = torch.empty(positions, config.hidden_size)
    require_like(f"pos_encodings {config.positions!r}", table, wanted)


def require_sound_rotation(config: ModelConfig, tables: Any, positions: int) -> None:
    """Check rotary tables.

    Raises:
        Fault: they are not two of float32 `[positions, hidden / heads]`, or not finite.
    """
    component = f"pos_encodings {config.positions!r}"
    require(
        isinstance(tables, tuple) and len(tables) == 2, component,
        "does not give two rotary tables", "give cosines and sines",
    )  # fmt: skip
    wanted = torch.empty(positions, config.hidden_size // config.num_heads)
    for table in tables:
        require_like(component, table, wanted)
