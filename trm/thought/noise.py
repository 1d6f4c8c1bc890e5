"""What makes rollouts of one model differ: Gaussian noise on its state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from trm.network.model import Latent
from trm.thought.config import NoiseConfig

_STREAM = 20_203
"""Of the generators that noise is drawn from, apart from those of training."""


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
