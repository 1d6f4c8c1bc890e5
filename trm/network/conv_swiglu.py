"""A SwiGLU that looks at neighbours."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trm.network.layers import CastedLinear, swiglu_width, truncated_normal_


class ConvSwiGLU(nn.Module):
    """down(silu(conv(silu(gate(x)) * up(x)))), the convolution over positions, channel by channel.

    Universal Reasoning Model (arXiv 2512.14693), with its kernel of 2 the default: position i gets
    positions i - kernel // 2 to i + (kernel - 1) // 2, so 2 looks back by one, 3 to both sides.

    Args:
        kernel: positions that each convolution looks at.
    """

    def __init__(
        self, dim: int, expansion: float, multiple: int, kernel: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        inner = swiglu_width(dim, expansion, multiple)
        self.kernel = kernel
        self.gate_up_proj = CastedLinear(dim, 2 * inner, generator)
        taps = truncated_normal_(torch.empty(inner, 1, kernel), 1.0 / math.sqrt(kernel), generator)
        self.conv_weight = nn.Parameter(taps)
        self.conv_bias = nn.Parameter(torch.zeros(inner))
        self.down_proj = CastedLinear(inner, dim, generator)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor] | None = None) -> Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        hidden = (F.silu(gate) * up).transpose(1, 2)
        padded = F.pad(hidden, (self.kernel // 2, (self.kernel - 1) // 2))
        weight, bias = self.conv_weight.to(x.dtype), self.conv_bias.to(x.dtype)
        mixed = F.conv1d(padded, weight, bias, groups=len(weight)).transpose(1, 2)
        return self.down_proj(F.silu(mixed))  # type: ignore[no-any-return]


def conv_swiglu_flops(
    dim: int, expansion: float, multiple: int, kernel: int, positions: int
) -> float:
    """FLOPs of its forward pass over one row: three products and the convolution."""
    inner = swiglu_width(dim, expansion, multiple)
    return 2.0 * positions * inner * (3 * dim + kernel)
