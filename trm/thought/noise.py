"""What makes rollouts of one model differ: Gaussian noise on its state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from curricula.component import Component
from trm.network.model import Latent

_STREAM = 20_203
"""Of the generators that noise is drawn from, apart from those of training."""


class NoiseConfig(Component):
    """Standard deviations of the Gaussian noise by which rollouts differ.

    A state of the reference's blocks has a mean square of 1, so these are shares of it.

    Attributes:
        z_H: of noise on the answer state before every supervision step (PTRM, arXiv 2605.19943).
        z_L: on the latent state, likewise.
        start: on both states before the first step alone (EqR, arXiv 2605.21488).
    """

    z_H: float = Field(default=0.0, ge=0.0, le=100.0)
    z_L: float = Field(default=0.0, ge=0.0, le=100.0)
    start: float = Field(default=0.0, ge=0.0, le=100.0)

    @property
    def silent(self) -> bool:
        """Whether there is none."""
        return not (self.z_H or self.z_L or self.start)


DEFAULT_NOISE = NoiseConfig(z_L=0.2)
"""What helps a selector that goes by the halting logit (tests/benchmarks/breadth.py)."""


def noise_streams(
    seed: int, rollouts: Sequence[int], begin: int, device: torch.device
) -> list[torch.Generator]:
    """A generator for each rollout of the puzzles from `begin` on.

    A rollout's noise depends on its own number, not on how many there are; on the puzzles that are
    in a batch with it.
    """
    states = (
        np.random.SeedSequence([_STREAM, seed, rollout, begin]).generate_state(1, np.uint64)[0]
        for rollout in rollouts
    )
    return [
        torch.Generator(device).manual_seed(int(state) & 0x7FFF_FFFF_FFFF_FFFF) for state in states
    ]


def with_noise(
    latent: Latent, noise: NoiseConfig, streams: Sequence[torch.Generator | None], first: bool
) -> Latent:
    """The state of as many rollouts as there are streams, one after another, with noise on it.

    Args:
        latent: `[rollouts * puzzles, positions, hidden]`.
        streams: None leaves a rollout as it is.
        first: whether its first supervision step follows.
    """

    def noisy(z: Tensor, every: float) -> Tensor:
        deviations = [deviation for deviation in (every, noise.start * first) if deviation]
        if not deviations:
            return z
        parts = list(z.chunk(len(streams)))
        for index, stream in enumerate(streams):
            for deviation in deviations if stream is not None else ():
                part = parts[index]
                drawn = torch.randn(part.shape, generator=stream, device=part.device)
                parts[index] = part + deviation * drawn.to(part.dtype)
        return torch.cat(parts)

    return Latent(noisy(latent.z_H, noise.z_H), noisy(latent.z_L, noise.z_L))
