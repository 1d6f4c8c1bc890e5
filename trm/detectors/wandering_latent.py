"""An answer state that still moves at the deepest step of a probe."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from curricula.component import Component
from trm.detectors.detector import Detector, Finding
from trm.detectors.evidence import latest, number, when
from trm.report import ReportRow


class WanderConfig(Component):
    """Settings of `wandering_latent`.

    Attributes:
        settle_below: relative residual of a state that has settled.
        wander: mean residual at the deepest step above which the state wanders.
    """

    settle_below: float = Field(default=0.05, gt=0.0)
    wander: float | None = Field(default=0.3, gt=0.0)


def wandering_latent(rows: Sequence[ReportRow], config: WanderConfig) -> Finding | None:
    """An answer state that still moves at the deepest step of a probe."""
    limit, found, settled = config.wander, latest(rows, "late_residual"), latest(rows, "settled")
    if limit is None or found is None or when(found[1]) < 0.5:
        return None
    value, row = found
    share = settled[0] if settled else 0.0
    # A model that has learnt nothing yet has nowhere to settle.
    if value <= limit or (number(row, "exact_accuracy") or 0.0) < 0.1:
        return None
    return Finding(
        "wandering_latent", "warning", when(row), value, limit, "norm of the state",
        f"the answer state still moves by {value:.0%} a step when run deeper, and settles for "
        f"{share:.0%} of puzzles: raise model.halt_max_steps or optimizer.weight_decay, or add "
        "latent noise (curriculum.latent_noise)",
    )  # fmt: skip


WANDERING_LATENT = Detector(
    wandering_latent,
    WanderConfig,
    "the answer state still moves at the deepest step of a probe",
    "norm of the state",
)
