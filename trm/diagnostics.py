"""Failure detectors: pure functions from the reports of a run to findings in words.

What each looks at is in `EVIDENCE`; a column that is missing or null, as in runs of older
versions, is no evidence. The failures and their signals are those that reports on TRM training
name: numeric divergence (issue #28 of the reference repository), late collapse (issue #26),
overfitting (issues #9 and #19), halting collapse, dependence on EMA (arXiv 2510.04871, table 1).
"""

from __future__ import annotations

from collections.abc import Sequence

from trm.detectors import learning, numeric, recursion
from trm.detectors.finding import Detector, Finding, ReportRow
from trm.thresholds import DETECTORS, DiagnosticsConfig

EVIDENCE = (
    "progress", "step", "exact_accuracy", "cell_accuracy", "early_exact_accuracy", "train_loss",
    "train_exact_accuracy", "halt_auc", "mean_steps", "live_exact_accuracy", "supervision_steps",
    "diverged", "evaluated", "loss_spikes", "loss_spike_ratio", "grad_spike_ratio",
    "update_ratio", "q_min", "q_max", "train_gap", "late_residual", "settled", "depth_drop",
    "spectral_radius", "train_difficulty",
)  # fmt: skip
"""The columns that detectors read."""


def diagnose(rows: Sequence[ReportRow], config: DiagnosticsConfig | None = None) -> list[Finding]:
    """All findings in the reports of one run, by mark; at most one a detector.

    >>> rows = [{"progress": 1.0, "exact_accuracy": 0.4, "mean_steps": 1.0, "diverged": True}]
    >>> [finding.detector for finding in diagnose(rows)]
    ['numeric_divergence']
    """
    config = config or DiagnosticsConfig()
    # What a model with a non-finite gradient or weight scores says nothing else.
    sound = [row for row in rows if not row.get("diverged")]
    found = (
        REGISTRY[name].find(rows if name == "numeric_divergence" else sound, config)
        for name in DETECTORS
    )
    return [finding for finding in found if finding is not None]


REGISTRY: dict[str, Detector] = {
    "numeric_divergence": Detector(
        numeric.numeric_divergence, "a loss or gradient is not finite", "steps", ()
    ),
    "loss_spike": Detector(
        numeric.loss_spike,
        "several steps between two reports have a loss far above the rolling median",
        "rolling medians", ("spike_factor", "spike_steps", "spike_window", "spike_floor"),
    ),
    "gradient_explosion": Detector(
        numeric.gradient_explosion,
        "a gradient norm far above its rolling median, or a step large against the weights",
        "rolling medians; norm of the weights",
        ("gradient_factor", "update_limit", "spike_window"),
    ),
    "late_collapse": Detector(
        learning.late_collapse,
        "exact accuracy ends below a peak that two reports held, beyond noise",
        "exact accuracy", ("drop", "collapse"),
    ),
    "overfit_plateau": Detector(
        learning.overfit_plateau,
        "training examples are solved more often than valid ones, beyond noise",
        "exact accuracy", ("overfit_gap", "examples"),
    ),
    "halting_collapse": Detector(
        recursion.halting_collapse,
        "halting at step 1 with little solved, at the last step with much solved, blindly "
        "(AUC), or with blown-up logits",
        "steps; AUC; logits", ("auc_limit", "q_limit"),
    ),
    "ema_dependence": Detector(
        learning.ema_dependence, "averaged and live weights differ late in the run, beyond noise",
        "exact accuracy", ("ema_gap",),
    ),
    "flat_line": Detector(
        learning.flat_line, "nothing is solved and cell accuracy stands still in the second half",
        "cell accuracy", ("flat_gain",),
    ),
    "wandering_latent": Detector(
        recursion.wandering_latent, "the answer state still moves at the deepest step of a probe",
        "norm of the state", ("wander", "settle_below", "beyond"),
    ),
    "depth_divergence": Detector(
        recursion.depth_divergence,
        "accuracy falls beyond the trained depth, or the spectral radius has grown past its limit",
        "exact accuracy; spectral radius", ("depth_drop", "radius_limit", "beyond"),
    ),
}  # fmt: skip
"""Every detector by name; a plug-in may replace one."""


def describe(findings: Sequence[Finding]) -> str:
    """The diagnosis in words, one line a finding; one line too if there is none."""
    if not findings:
        return "no failure found"
    return "\n".join(
        f"{finding.severity} at {finding.at:.0%}: {finding.detector.replace('_', ' ')}: "
        f"{finding.words}"
        for finding in findings
    )
