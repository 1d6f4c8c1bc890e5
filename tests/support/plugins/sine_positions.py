"""Positions: sines and cosines added to the embeddings, without a weight (arXiv 1706.03762)."""

import torch
from torch import Tensor

from trm.network.model import ModelConfig
from trm.network.positions import POSITIONS, Positions


def sines(config: ModelConfig, positions: int, generator: torch.Generator) -> Tensor:
    """float32 `[positions, hidden]`, of the deviation that embeddings have: 1 / sqrt(hidden)."""
    dim = config.hidden_size
    rates = 10_000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float32) / dim)
    angles = torch.outer(torch.arange(positions, dtype=torch.float32), rates)
    table = torch.cat((angles.sin(), angles.cos()), dim=-1)[:, :dim]
    return table * (2.0 / dim) ** 0.5


POSITIONS["sine"] = Positions(added=sines)
