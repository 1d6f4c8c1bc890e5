"""Where a training run is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SUMS = ("loss", "rows", "halted", "halted_exact", "halted_steps", "begun", "difficulty")
"""What is added up between two reports."""


def no_sums() -> dict[str, float]:
    """Every sum at 0."""
    return dict.fromkeys(SUMS, 0.0)


@dataclass
class Counters:
    """Where a run is; everything in it is plain JSON."""

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
    sums: dict[str, float] = field(default_factory=no_sums)

    @classmethod
    def restored(cls, values: dict[str, Any]) -> Counters:
        """Stored counters; a sum that an older version did not keep starts at 0."""
        return cls(**{**values, "sums": {**no_sums(), **values["sums"]}})
