"""One layer of the network: positions are mixed, then channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trm.network.conv_swiglu import ConvSwiGLU
from trm.network.layers import SwiGLU, rms_norm
from trm.network.mixers import MIXERS
from trm.network.model_config import ModelConfig


class Block(nn.Module):
    """Mix positions, by the mixer of a name, then channels: residuals, normed before or after.

    After it: h = norm(h + part(h)), as the reference has it. Before: h = h + part(norm(h)), whose
    sums are not normed: whoever stacks layers norms the last one's.
    """

    def __init__(
        self, config: ModelConfig, name: str, positions: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.eps, self.post = config.rms_norm_eps, config.norm == "post"
        mixer = MIXERS[name]
        self.mixing, self.turned = mixer.attribute, mixer.turned
        self.add_module(self.mixing, mixer.build(config, positions, generator))
        sizes = (config.hidden_size, config.expansion, config.swiglu_multiple)
        self.mlp = (
            SwiGLU(*sizes, generator)
            if config.mlp == "swiglu"
            else ConvSwiGLU(*sizes, config.conv_kernel, generator)
        )

    def forward(self, h: Tensor, rope: tuple[Tensor, Tensor] | None) -> Tensor:
        mix = getattr(self, self.mixing)
        if not self.post:
            normed = rms_norm(h, self.eps)
            if self.turned:
                h = h + mix(normed.transpose(1, 2), rope).transpose(1, 2)
            else:
                h = h + mix(normed, rope)
            return h + self.mlp(rms_norm(h, self.eps))  # type: ignore[no-any-return]
        if self.turned:
            # As in the reference, this norm runs over the sequence axis.
            turned = h.transpose(1, 2)
            h = rms_norm(turned + mix(turned, rope), self.eps).transpose(1, 2)
        else:
            h = rms_norm(h + mix(h, rope), self.eps)
        return rms_norm(h + self.mlp(h), self.eps)
