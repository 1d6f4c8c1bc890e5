"""How often a run is probed, and how deep: what probes measure is evidence for detectors."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from curricula.component import Component
from curricula.limits import MOST_EXAMPLES


class ProbeConfig(Component):
    """Extra evaluations on the first `examples` puzzles of `valid` and of `train`, at reports.

    Attributes:
        probe: `auto` takes probes at the last report, and at each one that is far enough from the
            one before that they cost about `share` of training; `reports` takes them at every
            report; null never.
        share: see `probe`.
        examples: puzzles of a probe, of `valid` and of `train` each.
        beyond: how deep a probe goes, in multiples of `model.halt_max_steps` (1: no deeper).
        radius_examples: puzzles for the spectral radius; 0 leaves it out.
        radius_iterations: power iterations, of which the last half counts.
    """

    probe: Literal["auto", "reports"] | None = "auto"
    share: float = Field(default=0.01, gt=0.0, le=1.0)
    examples: int = Field(default=32, ge=1, le=MOST_EXAMPLES)
    beyond: Literal[1, 2, 4, 8] = 4
    radius_examples: int = Field(default=8, ge=0, le=MOST_EXAMPLES)
    radius_iterations: int = Field(default=8, ge=2, le=10_000)


def unmeasured(config: ProbeConfig) -> dict[str, str]:
    """Columns that even a probed report does not have under a config, each with what would."""
    remedies = {
        f"exact_accuracy_{multiple}x": f"set diagnostics.beyond to {multiple}"
        for multiple in (2, 4, 8)
        if config.beyond < multiple
    }
    if config.beyond == 1:
        remedies["depth_drop"] = "set diagnostics.beyond to 2"
    if not config.radius_examples:
        remedies["spectral_radius"] = "set diagnostics.radius_examples to 8"
    return remedies
