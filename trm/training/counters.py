"""Where a training run is, and what a step adds to that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from trm.detectors.loss_spike import SpikeConfig
from trm.training.data import Examples
from trm.training.rolling import ratio_to_recent

SUMS = (
    "loss", "rows", "halted", "halted_exact", "halted_steps", "begun", "difficulty", "loss_spikes",
)  # fmt: skip
"""What is added up between two reports."""

PEAKS = ("loss_spike_ratio", "grad_norm_max", "grad_spike_ratio")
"""Of what the highest value between two reports is kept, beside the sums."""


def no_sums() -> dict[str, float]:
    """Every sum and every peak at 0."""
    return dict.fromkeys((*SUMS, *PEAKS), 0.0)


@dataclass
class Counters:
    """Where a run is; everything in it is plain JSON.

    `recent_losses` and `recent_norms` are those of the last steps, `history` the columns of the
    reports so far that failure detectors look at.
    """

    mark: int = 0
    step: int = 0
    compute: float = 0.0
    examples: int = 0
    seconds: float = 0.0
    train_seconds: float = 0.0
    warmup_progress: float = 0.0
    learning_rate: float = 0.0
    grad_norm: float = 0.0
    diverged: bool = False
    collapsed: bool = False
    update_ratio: float = 0.0
    probed_step: int = 0
    recent_losses: list[float] = field(default_factory=list)
    recent_norms: list[float] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=no_sums)

    @classmethod
    def restored(cls, values: dict[str, Any]) -> Counters:
        """Stored counters; a sum that an older version did not keep starts at 0."""
        return cls(**{**values, "sums": {**no_sums(), **values["sums"]}})

    def take_sums(self) -> dict[str, float]:
        """What was added up since the last report; the next begins at 0."""
        sums, self.sums = self.sums, no_sums()
        return sums


def compute_goals(budget: float, marks: Sequence[float]) -> tuple[float, ...]:
    """The compute at which each mark, a share of the budget, is met."""
    # Sums and products of FLOPs round; a step that meets a mark must not miss it by that.
    return tuple(mark * budget * (1.0 - 1e-12) for mark in marks)


def count_begun(counters: Counters, fresh: Examples) -> None:
    """Examples that enter the batch."""
    add_begun(counters, len(fresh.inputs), float(fresh.difficulty.sum(dtype=np.float64)))


def add_begun(counters: Counters, count: int, difficulty: float) -> None:
    """The same, counted already: how many, and the sum of their difficulties."""
    counters.examples += count
    counters.sums["begun"] += count
    counters.sums["difficulty"] += difficulty


def count_halted(
    counters: Counters, loss: float, halted: Tensor, exact: Tensor, steps: Tensor
) -> None:
    """A training step's loss, and the rows that halt with it.

    Args:
        halted: bool `[batch]`.
        exact: rows whose answer is right, bool `[batch]`.
        steps: supervision steps that each row has had, `[batch]`.
    """
    ended, right, had = halted.sum(), (halted & exact).sum(), steps[halted].sum()
    add_halted(counters, loss, float(ended), float(right), float(had))


def add_halted(counters: Counters, loss: float, halted: float, exact: float, steps: float) -> None:
    """The same, counted already.

    Args:
        halted: how many rows.
        exact: of them with a right answer.
        steps: supervision steps that they have had, added up.
    """
    sums = counters.sums
    sums["loss"] += loss
    sums["rows"] += 1
    sums["halted"] += halted
    sums["halted_exact"] += exact
    sums["halted_steps"] += steps


def count_spikes(counters: Counters, loss: float, config: SpikeConfig) -> None:
    """How far a step's loss and `counters.grad_norm` stand above those just before."""
    window, sums = config.spike_window, counters.sums
    ratio = ratio_to_recent(counters.recent_losses, loss, window, config.spike_floor)
    if config.spike_factor is not None and ratio > config.spike_factor:
        sums["loss_spikes"] += 1
    norm_ratio = ratio_to_recent(counters.recent_norms, counters.grad_norm, window)
    sums["loss_spike_ratio"] = max(sums["loss_spike_ratio"], ratio)
    sums["grad_spike_ratio"] = max(sums["grad_spike_ratio"], norm_ratio)
    sums["grad_norm_max"] = max(sums["grad_norm_max"], counters.grad_norm)
