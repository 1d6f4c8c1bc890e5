"""A mixer: half of the channels come from the place before, as RWKV's token shift has it."""

import torch
from torch import Tensor, nn

from trm.network.layers import CastedLinear
from trm.network.mixers import MIXERS, Mixer
from trm.network.model import ModelConfig


class Shift(nn.Module):
    """`[batch, positions, hidden]` to the same shape."""

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.proj = CastedLinear(dim, dim, generator)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor] | None = None) -> Tensor:
        half = x.shape[-1] // 2
        moved = torch.cat((x.roll(1, dims=1)[..., :half], x[..., half:]), dim=-1)
        mixed: Tensor = self.proj(moved)
        return mixed


def build(config: ModelConfig, positions: int, generator: torch.Generator) -> nn.Module:
    return Shift(config.hidden_size, generator)


def flops(config: ModelConfig, positions: int) -> float:
    return 2.0 * positions * config.hidden_size**2


MIXERS["shift"] = Mixer(build, flops)
