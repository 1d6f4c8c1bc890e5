"""What a run begins with: its model, and random generators whose streams do not overlap."""

from __future__ import annotations

import numpy as np
import torch

from trm.config import Experiment
from trm.device import Resolved
from trm.network.float64 import has_float64
from trm.network.model import TRM
from trm.network.soundness import require_sound_mixers
from trm.tasks.base import Task

WEIGHTS, EXPLORATION, NOISE = 0, 3, 5
"""Streams of a seed; those of `trm.training.data` are 1, 2 and 4."""


def build_model(config: Experiment, task: Task, resolved: Resolved, seed: int) -> TRM:
    """A freshly initialised model for a task, on the resolved device.

    Raises:
        Fault: its mixer or its positions do not work, there or at all.
    """
    model = fresh_model(config, task, seed, resolved.dtype).to(resolved.device)
    if not has_float64(model.H_init.device):
        require_sound_mixers(model)  # it was tried on the CPU alone
    return model


def fresh_model(
    config: Experiment, task: Task, seed: int, dtype: torch.dtype = torch.float32
) -> TRM:
    """A freshly initialised model for a task, on the CPU: one seed, one set of weights."""
    return TRM(
        config.model,
        seq_len=task.seq_len,
        vocab_size=task.vocab_size,
        num_puzzle_identifiers=task.num_puzzle_identifiers,
        grid=task.grid_shape,
        generator=random_stream(seed, WEIGHTS),
        dtype=dtype,
    )


def random_stream(seed: int, stream: int, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator of its own for each pair of a seed and a stream, the CPU's unless told."""
    # Streams of one seed, and neighbouring seeds, must not overlap: SeedSequence hashes both.
    state = np.random.SeedSequence([seed, stream]).generate_state(1, dtype=np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state) & 0x7FFF_FFFF_FFFF_FFFF)
