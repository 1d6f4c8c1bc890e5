"""What one puzzle alone costs in time, measured as a run goes."""

from __future__ import annotations

import time
from statistics import median

import torch

from trm.evaluation import think
from trm.network.model import TRM
from trm.tasks.base import Split

SECONDS = 0.03
"""For all timed calls, of which there is always one."""
_MOST = 20


def latency_alone(model: TRM, split: Split, steps: int, device: torch.device) -> float:
    """Milliseconds in which the model answers the first puzzle of a split alone, the median.

    Nothing is compiled for it: a graph for one row would cost more than it says.

    Args:
        steps: supervision steps, all of which are taken.
    """
    one = split.take(slice(1))
    inputs = torch.from_numpy(one.inputs).to(device)
    identifiers = torch.from_numpy(one.puzzle_identifiers).to(device)
    compiled, model.compiled = model.compiled, None
    try:
        taken: list[float] = []
        begun = time.perf_counter()
        while not taken or (len(taken) < _MOST and time.perf_counter() - begun < SECONDS):
            start = time.perf_counter()
            for output in think(model, inputs, identifiers, steps):
                said = output
            said.q_halt.sum().item()
            taken.append(time.perf_counter() - start)
    finally:
        model.compiled = compiled
    return 1e3 * median(taken)
