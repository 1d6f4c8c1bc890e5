"""Where a training run is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

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
