"""The `diagnostics` section: what is measured, how often, and what counts as a failure."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from curricula.component import Component, nearest

DETECTORS = (
    "numeric_divergence",
    "loss_spike",
    "gradient_explosion",
    "late_collapse",
    "overfit_plateau",
    "halting_collapse",
    "ema_dependence",
    "flat_line",
    "wandering_latent",
    "depth_divergence",
)
"""Names of the detectors, in the order in which findings are told."""


class DiagnosticsConfig(Component):
    """Failure detectors of a run. They never change what is trained. null turns a detector off.

    Counters of loss, gradient and update run at every step. Probes are extra evaluations on the
    first `examples` puzzles of `valid` and of `train`, at reports. `probe: auto` takes them at the
    last report, and at each one that is far enough from the one before that they cost about
    `share` of training; `reports` takes them at every report; null never.

    Attributes:
        examples: puzzles of a probe, of `valid` and of `train` each.
        beyond: how deep a probe goes, in multiples of `model.halt_max_steps` (1: no deeper).
        radius_examples: puzzles for the spectral radius; 0 leaves it out.
        radius_iterations: power iterations, of which the last half counts.
        spike_window: steps of the rolling median that losses and gradient norms are held against.
        spike_factor: a loss above this many medians is a spike.
        spike_floor: median loss below which ratios are taken to this value instead: a solved task
            has losses near 0, whose ratios say nothing.
        spike_steps: spikes between two reports that are a finding.
        gradient_factor: a gradient norm above this many medians is an explosion.
        update_limit: so is an optimiser step of more than this share of the weights' norm.
        drop: fall of exact accuracy below its peak, beyond noise, that is a late collapse.
        collapse: share of the peak that is lost at the last report, for the run's outcome to be
            `collapsed`, which scores the floor.
        overfit_gap: exact accuracy on `train` minus that on `valid`.
        q_limit: magnitude of a halting logit that is blown up.
        auc_limit: halting AUC at or below which halting is blind to what is right.
        ema_gap: difference between the averaged and the live weights' exact accuracy.
        flat_gain: gain of cell accuracy over the second half below which a run that solves nothing
            is flat.
        settle_below: relative residual of a state that has settled.
        wander: mean residual at the deepest step above which the state wanders.
        depth_drop: exact accuracy that is lost beyond the trained depth.
        radius_limit: spectral radius at which the recursion expands, if it has grown on the way.
        stop_on: detectors that end a run at once, as `collapsed`. A non-finite loss always does,
            as `diverged`.
    """

    probe: Literal["auto", "reports"] | None = "auto"
    share: float = Field(default=0.01, gt=0.0, le=1.0)
    examples: int = Field(default=32, ge=1)
    beyond: Literal[1, 2, 4, 8] = 4
    radius_examples: int = Field(default=8, ge=0)
    radius_iterations: int = Field(default=8, ge=2)
    spike_window: int = Field(default=32, ge=4)
    spike_factor: float | None = Field(default=3.0, gt=1.0)
    spike_floor: float = Field(default=0.2, ge=0.0)
    spike_steps: int = Field(default=2, ge=1)
    gradient_factor: float | None = Field(default=100.0, gt=1.0)
    update_limit: float | None = Field(default=0.3, gt=0.0)
    drop: float | None = Field(default=0.05, gt=0.0, le=1.0)
    collapse: float | None = Field(default=0.5, gt=0.0, le=1.0)
    overfit_gap: float | None = Field(default=0.2, gt=0.0, le=1.0)
    q_limit: float | None = Field(default=50.0, gt=0.0)
    auc_limit: float | None = Field(default=0.53, ge=0.0, le=1.0)
    ema_gap: float | None = Field(default=0.075, gt=0.0, le=1.0)
    flat_gain: float | None = Field(default=0.02, gt=0.0, le=1.0)
    settle_below: float = Field(default=0.05, gt=0.0)
    wander: float | None = Field(default=0.3, gt=0.0)
    depth_drop: float | None = Field(default=0.1, gt=0.0, le=1.0)
    radius_limit: float | None = Field(default=2.0, gt=0.0)
    stop_on: list[str] = Field(default_factory=list)

    @field_validator("stop_on")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in DETECTORS:
                raise ValueError(f"unknown detector {name!r}: {nearest(name, list(DETECTORS))}")
        return names


def unmeasured(config: DiagnosticsConfig) -> dict[str, str]:
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
