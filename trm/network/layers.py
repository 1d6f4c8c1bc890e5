"""The parts of a TRM block: linear maps with float32 weights, RMS norm, RoPE, attention, SwiGLU.

Shapes follow the reference implementation (SamsungSAILMontreal/TinyRecursiveModels), so that its
weights load as they are; see also "Less is More" (arXiv 2510.04871), section 4.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Standard deviation of a standard normal cut at +-2: sqrt(1 - 4 phi(2) / (Phi(2) - Phi(-2))).
_CUT_STD = math.sqrt(
    1.0 - 4.0 * math.exp(-2.0) / math.sqrt(2.0 * math.pi) / math.erf(2.0 / math.sqrt(2.0))
)


def truncated_normal_(tensor: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Fill in place with a normal cut at two of its deviations, scaled to have deviation `std`.

    The cut narrows a normal to 0.88 of its width; the reference (and JAX) widen it before to
    make up for that.
    """
    if std == 0.0:
        return tensor.zero_()
    wide = std / _CUT_STD
    return nn.init.trunc_normal_(tensor, std=wide, a=-2.0 * wide, b=2.0 * wide, generator=generator)


def rms_norm(x: Tensor, eps: float) -> Tensor:
    """Root-mean-square norm over the last axis, without a weight; in float32 at least.

    x / sqrt(mean(x^2) + eps) (Zhang & Sennrich 2019, arXiv 1910.07467).
    """
    wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    return F.rms_norm(wide, (x.shape[-1],), eps=eps).to(x.dtype)


def swiglu_width(dim: int, expansion: float, multiple: int) -> int:
    """Inner width of a SwiGLU: two thirds of expansion * dim, rounded up to a multiple.

    >>> swiglu_width(512, 4.0, 256), swiglu_width(16, 0.01, 16)
    (1536, 16)
    """
    inner = max(1, round(expansion * dim * 2 / 3))
    return -(-inner // multiple) * multiple


class CastedLinear(nn.Module):
    """A linear map with float32 weights `[out, in]` that computes in the type of its input.

    Args:
        std: deviation of the initial weights; None is LeCun's 1 / sqrt(in).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        generator: torch.Generator,
        *,
        bias: bool = False,
        std: float | None = None,
    ) -> None:
        super().__init__()
        scale = 1.0 / math.sqrt(inputs) if std is None else std
        weight = truncated_normal_(torch.empty(outputs, inputs), scale, generator)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == self.weight.dtype:
            return F.linear(x, self.weight, self.bias)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)) over the last axis (Shazeer 2020, arXiv 2002.05202)."""

    def __init__(
        self, dim: int, expansion: float, multiple: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        inner = swiglu_width(dim, expansion, multiple)
        self.gate_up_proj = CastedLinear(dim, 2 * inner, generator)
        self.down_proj = CastedLinear(inner, dim, generator)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        return self.down_proj(F.silu(gate) * up)  # type: ignore[no-any-return]


def rope_tables(positions: int, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines `[positions, head_dim]` of rotary embeddings (arXiv 2104.09864).

    The two halves of a head hold the pairs that are rotated together.
    """
    frequencies = 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    angles = torch.outer(torch.arange(positions, dtype=torch.float32), frequencies)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply rotary embeddings to `[batch, positions, heads, head_dim]`, in the tables' type."""
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    mixed = x.to(cos.dtype) * cos[:, None] + turned.to(cos.dtype) * sin[:, None]
    return mixed.to(x.dtype)


class Attention(nn.Module):
    """Multi-head self-attention over all positions, not causal, without biases."""

    def __init__(self, dim: int, heads: int, generator: torch.Generator) -> None:
        super().__init__()
        self.heads = heads
        self.qkv_proj = CastedLinear(dim, 3 * dim, generator)
        self.o_proj = CastedLinear(dim, dim, generator)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor] | None) -> Tensor:
        batch, positions, dim = x.shape
        qkv = self.qkv_proj(x).view(batch, positions, 3, self.heads, dim // self.heads)
        q, k, v = qkv.unbind(dim=2)
        if rope is not None:
            q, k = rotate(q, *rope), rotate(k, *rope)
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        if x.is_cuda or x.dtype == torch.float32:
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            # On CPUs plain products are faster in bfloat16 than the fused kernel.
            weights = (q @ k.transpose(-1, -2)).float() / math.sqrt(q.shape[-1])
            mixed = weights.softmax(dim=-1).to(v.dtype) @ v
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, positions, dim))  # type: ignore[no-any-return]
