"""Attention whose cost grows with the number of positions, not with its square."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trm.network.layers import CastedLinear, rotate

LEAST = 1e-6
"""What a position's weights add up to at least, where they are divided by their sum."""


class LinearAttention(nn.Module):
    """Multi-head attention over all positions with a kernel in place of the softmax, not causal.

    out_i = phi(q_i) sum_j phi(k_j) v_j / (phi(q_i) sum_j phi(k_j)) with phi(x) = elu(x) + 1
    (Katharopoulos et al. 2020, arXiv 2006.16236, equations 5 and 7). Rotary tables turn phi(q) and
    phi(k) above the line alone (arXiv 2104.09864, equation 19). Computed in float32: sums over all
    positions lose too much in bfloat16.
    """

    def __init__(self, dim: int, heads: int, generator: torch.Generator) -> None:
        super().__init__()
        self.heads = heads
        self.qkv_proj = CastedLinear(dim, 3 * dim, generator)
        self.o_proj = CastedLinear(dim, dim, generator)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor] | None) -> Tensor:
        batch, positions, dim = x.shape
        qkv = self.qkv_proj(x).view(batch, positions, 3, self.heads, dim // self.heads)
        q, k, v = (qkv if qkv.dtype == torch.float64 else qkv.float()).unbind(dim=2)
        q, k = F.elu(q) + 1.0, F.elu(k) + 1.0
        weights = (q * k.sum(dim=1, keepdim=True)).sum(dim=-1, keepdim=True).clamp(min=LEAST)
        if rope is not None:
            q, k = rotate(q, *rope), rotate(k, *rope)
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        mixed = (q @ (k.transpose(-1, -2) @ v)).transpose(1, 2) / weights
        return self.o_proj(mixed.reshape(batch, positions, dim).to(x.dtype))  # type: ignore[no-any-return]
