"""Numbers that run away: values that are not finite, loss spikes, exploding gradients."""

from __future__ import annotations

from collections.abc import Sequence

from trm.detectors.finding import Finding, ReportRow, number, when
from trm.thresholds import DiagnosticsConfig


def numeric_divergence(rows: Sequence[ReportRow], config: DiagnosticsConfig) -> Finding | None:
    """A report that says the run is not finite any more."""
    for row in rows:
        if row.get("diverged"):
            return Finding(
                "numeric_divergence", "failure", when(row), 1.0, 0.0, "steps",
                f"a loss or gradient was not finite after step {row.get('step', '?')}: lower "
                "optimizer.lr, or lengthen optimizer.lr_warmup_steps",
            )  # fmt: skip
    return None


def loss_spike(rows: Sequence[ReportRow], config: DiagnosticsConfig) -> Finding | None:
    """Several losses between two reports far above their rolling median."""
    if config.spike_factor is None:
        return None
    for row in rows:
        spikes, ratio = number(row, "loss_spikes"), number(row, "loss_spike_ratio")
        if spikes is None or ratio is None or spikes < config.spike_steps:
            continue
        if ratio > config.spike_factor:
            return Finding(
                "loss_spike", "warning", when(row), ratio, config.spike_factor, "rolling medians",
                f"the loss rose to {ratio:.1f} times its recent median, in {spikes:.0f} steps: "
                "lower optimizer.lr, set optimizer.grad_clip to 1, or re-warm after a change of "
                "depth (curriculum.rewarm_steps)",
            )  # fmt: skip
    return None


def gradient_explosion(rows: Sequence[ReportRow], config: DiagnosticsConfig) -> Finding | None:
    """A gradient norm far above its median, or a step large against the weights."""
    remedy = "lower optimizer.lr, or set optimizer.grad_clip to 1"
    for row in rows:
        ratio, limit = number(row, "grad_spike_ratio"), config.gradient_factor
        if ratio is not None and limit is not None and ratio > limit:
            return Finding(
                "gradient_explosion", "warning", when(row), ratio, limit, "rolling medians",
                f"the gradient grew to {ratio:.0f} times its recent median: {remedy}",
            )  # fmt: skip
        step, limit = number(row, "update_ratio"), config.update_limit
        if step is not None and limit is not None and step > limit:
            return Finding(
                "gradient_explosion", "warning", when(row), step, limit, "norm of the weights",
                f"one optimiser step moved the weights by {step:.0%} of their norm: {remedy}",
            )  # fmt: skip
    return None
