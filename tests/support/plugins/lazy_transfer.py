"""A state transfer: most channels keep what they have, the others take the new state."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from trm.network.transfer import STATE_TRANSFERS, StateTransfer


class LazyTransfer(StateTransfer):
    """Some channels are updated, always the same ones.

    Attributes:
        share: of the channels that are updated.
    """

    name: Literal["lazy"] = "lazy"
    share: float = Field(default=0.5, gt=0.0, le=1.0)

    def carried(self, state, h, new, gate, noise) -> Tensor:  # type: ignore[no-untyped-def]
        moving = torch.arange(state.shape[-1], device=state.device) < self.share * state.shape[-1]
        return torch.where(moving, new, state)


STATE_TRANSFERS["lazy"] = LazyTransfer
