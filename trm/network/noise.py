"""Random numbers for the state of a batch, from a generator that a run owns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trm.network.layers import truncated_normal_
from trm.ranks import OwnRows


@dataclass(frozen=True)
class Noise:
    """Draws for rows of a batch.

    Attributes:
        generator: of the CPU, or of the rows' device.
        place: where in a larger batch these rows stand: draws are made for all of that, so that
            any number of processes draws the same. None: they are all of it.

    >>> noise = Noise(torch.Generator().manual_seed(0))
    >>> noise.normal(torch.zeros(2, 3)).shape
    torch.Size([2, 3])
    """

    generator: torch.Generator
    place: OwnRows | None = None

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal numbers in the shape `[rows, ...]`, type and device of a tensor."""
        whole = self._empty(like).normal_(generator=self.generator)
        return self._own(whole, like)

    def truncated(self, like: Tensor) -> Tensor:
        """The same cut at two deviations, as the initial states of the reference are drawn."""
        return self._own(truncated_normal_(self._empty(like), 1.0, self.generator), like)

    def uniform(self, like: Tensor) -> Tensor:
        """Uniform numbers in [0, 1), likewise."""
        return self._own(self._empty(like).uniform_(generator=self.generator), like)

    def _empty(self, like: Tensor) -> Tensor:
        rows = len(like) if self.place is None else self.place.of
        return torch.empty(rows, *like.shape[1:], device=self.generator.device)

    def _own(self, whole: Tensor, like: Tensor) -> Tensor:
        own = whole if self.place is None else whole[self.place.own]
        return own.to(like.device, like.dtype)
