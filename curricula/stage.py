"""What a curriculum sets for one stretch of training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """The values in force until the next change.

    Attributes:
        H_cycles: recursions of the answer in one supervision step.
        L_cycles: recursions of the latent in one H cycle.
    """

    H_cycles: int
    L_cycles: int
