"""How an update becomes the next state, by name. A plug-in adds its own to `STATE_TRANSFERS`.

The network f maps the sum h of a state and what is injected into it; a transfer makes the next
state of the state z, of h and of f(h).

>>> STATE_TRANSFERS["damped"]().share
0.95
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field, SerializeAsAny
from torch import Tensor, nn

from curricula.component import Component, SectionIn
from trm.network.layers import CastedLinear
from trm.network.noise import Noise


class StateTransfer(Component):
    """What is kept of a state when the network has made a new one; subclasses fix `name`.

    >>> class Halfway(StateTransfer):
    ...     name: Literal["halfway"] = "halfway"
    ...
    ...     def carried(self, state, h, new, gate, noise):
    ...         return 0.5 * (state + new)
    >>> Halfway().carried(torch.zeros(1), torch.ones(1), torch.ones(1), None, None)
    tensor([0.5000])
    """

    name: str

    @property
    def draws(self) -> bool:
        """Whether it draws random numbers in training."""
        return False

    def build(self, dim: int, generator: torch.Generator) -> nn.Module | None:
        """Weights that it learns, from the width of a state and a CPU generator; None: none."""
        return None

    def flops(self, dim: int) -> float:
        """FLOPs of one update at one position, matrix products alone."""
        return 0.0

    def weights(self, dim: int) -> int:
        """How many numbers `build` gives."""
        return 0

    def carried(
        self, state: Tensor, h: Tensor, new: Tensor, gate: nn.Module | None, noise: Noise | None
    ) -> Tensor:
        """The next state, `[batch, positions, hidden]` like all three that it is made of.

        Args:
            state: before the update.
            h: what the network was given, `state` and what was injected into it.
            new: what the network made of it.
            gate: from `build`.
            noise: in training alone: where random numbers come from.
        """
        raise NotImplementedError(self.name)


class ResidualTransfer(StateTransfer):
    """z = f(z + injection), as the reference has it: what is kept is up to the network."""

    name: Literal["residual"] = "residual"

    def carried(
        self, state: Tensor, h: Tensor, new: Tensor, gate: nn.Module | None, noise: Noise | None
    ) -> Tensor:
        return new


class GatedTransfer(StateTransfer):
    """z = g f(h) + (1 - g) z with g = sigmoid(W h + b), a gate for each position and channel.

    The highway network's (Srivastava et al. 2015, arXiv 1505.00387, equation 3). W begins at 0.

    Attributes:
        open: what the gate lets through of the new state at first; it sets b.
    """

    name: Literal["gated"] = "gated"
    open: float = Field(default=0.95, gt=0.0, lt=1.0)

    def build(self, dim: int, generator: torch.Generator) -> nn.Module:
        gate = CastedLinear(dim, dim, generator, bias=True, std=0.0)
        assert gate.bias is not None
        nn.init.constant_(gate.bias, math.log(self.open / (1.0 - self.open)))
        return gate

    def flops(self, dim: int) -> float:
        return 2.0 * dim * dim

    def weights(self, dim: int) -> int:
        return dim * dim + dim

    def carried(
        self, state: Tensor, h: Tensor, new: Tensor, gate: nn.Module | None, noise: Noise | None
    ) -> Tensor:
        assert gate is not None
        return torch.lerp(state, new, gate(h).sigmoid())


class DampedTransfer(StateTransfer):
    """z = share f(h) + (1 - share) z + noise eps, eps ~ N(0, 1) in training alone.

    After every update of z_L and of z_H, as EqR has it (arXiv 2605.21488).

    Attributes:
        share: of the new state; EqR's lambda. 1 keeps nothing of the old one.
        noise: deviation of what is added in training; 0 draws nothing.
    """

    name: Literal["damped"] = "damped"
    share: float = Field(default=0.95, gt=0.0, le=1.0)
    noise: float = Field(default=0.01, ge=0.0, le=1e3)

    @property
    def draws(self) -> bool:
        return self.noise > 0.0

    def carried(
        self, state: Tensor, h: Tensor, new: Tensor, gate: nn.Module | None, noise: Noise | None
    ) -> Tensor:
        damped = torch.lerp(state, new, self.share)
        if noise is None or not self.noise:
            return damped
        return damped + self.noise * noise.normal(damped)


STATE_TRANSFERS: dict[str, type[StateTransfer]] = {
    "residual": ResidualTransfer,
    "gated": GatedTransfer,
    "damped": DampedTransfer,
}
"""The transfers that `model.state_transfer` can name."""

AnyTransfer = SerializeAsAny[Annotated[StateTransfer, SectionIn(STATE_TRANSFERS, "residual")]]
