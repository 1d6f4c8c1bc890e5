"""How a block mixes positions, by name. A plug-in adds its own with `MIXERS["mine"] = Mixer(...)`.

A mixer's module takes `x` and the rotary tables (see `trm.network.positions`; None where there are
none) and gives back the shape of `x`. The block adds it to `x` and norms the sum.

>>> MIXERS["attention"].rotates, MIXERS["mlp_t"].rotates
(True, False)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from trm.network.conv_swiglu import ConvSwiGLU, conv_swiglu_flops
from trm.network.layers import Attention, SwiGLU, swiglu_width
from trm.network.linear_attention import LinearAttention

if TYPE_CHECKING:
    import torch

    from trm.network.model_config import ModelConfig


@dataclass(frozen=True)
class Mixer:
    """One way to mix positions.

    Attributes:
        build: its module, from the config, the number of positions (prefix included) and a CPU
            generator for the initial weights. The module maps `x` `[batch, positions, hidden]`.
        flops: FLOPs of its forward pass over one row, matrix products alone, two a multiply-add,
            from the config and the number of positions. Every budget is counted by it.
        pos_encodings: what `model.pos_encodings: null` means with it.
        rotates: whether it uses rotary tables.
        turned: the module maps `[batch, hidden, positions]` instead, and the norm after it runs
            over positions.
        attribute: what its weights are called within a block, in checkpoints.
        check: raises ValueError for a config whose sizes it cannot have.

    >>> from trm.network.model_config import ModelConfig
    >>> MIXERS["mlp_t"].flops(ModelConfig(hidden_size=8, num_heads=2, swiglu_multiple=8), 16) > 0
    True
    """

    build: Callable[[ModelConfig, int, torch.Generator], nn.Module]
    flops: Callable[[ModelConfig, int], float]
    pos_encodings: str = "none"
    rotates: bool = False
    turned: bool = False
    attribute: str = "mixer"
    check: Callable[[ModelConfig], None] = lambda config: None


class PositionsMLP(SwiGLU):
    """A SwiGLU over positions, which takes no rotary tables."""

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor] | None = None) -> Tensor:
        return super().forward(x)


def _attention(config: ModelConfig, positions: int, generator: torch.Generator) -> Attention:
    return Attention(config.hidden_size, config.num_heads, generator)


def _attention_flops(config: ModelConfig, positions: int) -> float:
    dim = config.hidden_size
    projections = 2.0 * positions * dim * dim * 4
    return projections + 2.0 * positions * positions * dim * 2


def _attention_fits(config: ModelConfig) -> None:
    dim, heads = config.hidden_size, config.num_heads
    if dim % heads:
        raise ValueError(f"num_heads {heads} must divide hidden_size {dim}")
    parts = {"rope": 2, "rope_2d": 4}.get(config.positions, 1)
    if dim // heads % parts:
        what = "even" if parts == 2 else f"a multiple of {parts}"
        raise ValueError(
            f"hidden_size {dim} / num_heads {heads} must be {what} for pos_encodings "
            f"{config.positions!r}"
        )


def _linear_attention(
    config: ModelConfig, positions: int, generator: torch.Generator
) -> LinearAttention:
    return LinearAttention(config.hidden_size, config.num_heads, generator)


def _linear_attention_flops(config: ModelConfig, positions: int) -> float:
    dim = config.hidden_size
    return 2.0 * positions * dim * (4 * dim + 2 * dim // config.num_heads)


def _conv_swiglu(config: ModelConfig, positions: int, generator: torch.Generator) -> ConvSwiGLU:
    sizes = (config.hidden_size, config.expansion, config.swiglu_multiple, config.conv_kernel)
    return ConvSwiGLU(*sizes, generator)


def _conv_swiglu_flops(config: ModelConfig, positions: int) -> float:
    sizes = (config.hidden_size, config.expansion, config.swiglu_multiple, config.conv_kernel)
    return conv_swiglu_flops(*sizes, positions)


def _mlp_t(config: ModelConfig, positions: int, generator: torch.Generator) -> PositionsMLP:
    return PositionsMLP(positions, config.expansion, config.swiglu_multiple, generator)


def _mlp_t_flops(config: ModelConfig, positions: int) -> float:
    width = swiglu_width(positions, config.expansion, config.swiglu_multiple)
    return 2.0 * config.hidden_size * positions * width * 3


MIXERS: dict[str, Mixer] = {
    "attention": Mixer(
        _attention, _attention_flops, pos_encodings="rope", rotates=True, attribute="self_attn",
        check=_attention_fits,
    ),
    "linear_attention": Mixer(
        _linear_attention, _linear_attention_flops, pos_encodings="rope", rotates=True,
        attribute="linear_attn", check=_attention_fits,
    ),
    "conv_swiglu": Mixer(_conv_swiglu, _conv_swiglu_flops, attribute="conv_swiglu"),
    "mlp_t": Mixer(_mlp_t, _mlp_t_flops, turned=True, attribute="mlp_t"),
}  # fmt: skip
"""The mixers that `model.mixer` can name."""
