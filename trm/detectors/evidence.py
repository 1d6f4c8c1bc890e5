"""How detectors read the reports of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trm.detectors.probing import ProbeConfig
from trm.report import ReportRow

EVIDENCE = (
    "progress", "step", "exact_accuracy", "cell_accuracy", "early_exact_accuracy", "train_loss",
    "train_exact_accuracy", "halt_auc", "mean_steps", "live_exact_accuracy", "supervision_steps",
    "diverged", "evaluated", "loss_spikes", "loss_spike_ratio", "grad_spike_ratio",
    "update_ratio", "q_min", "q_max", "train_gap", "late_residual", "settled", "depth_drop",
    "spectral_radius", "train_difficulty", "accuracy_x4",
)  # fmt: skip
"""The columns that every detector may read: a run keeps them of all its reports."""

_EXAMPLES = 500
"""Evaluated examples where a row does not say how many."""


def noise(a: float, b: float, examples: float, deviations: float = 2.0) -> float:
    """How far two shares of `examples` may differ by chance: standard deviations of the difference.

    Binomial, the two taken as independent; a share of 0 or 1 counts as half an example off it.
    """
    least = 0.5 / examples
    a, b = (min(max(share, least), 1.0 - least) for share in (a, b))
    return deviations * math.sqrt((a * (1.0 - a) + b * (1.0 - b)) / examples)


def number(row: ReportRow, column: str) -> float | None:
    """A column of a report; None where it is missing or not finite."""
    value = row.get(column)
    return None if value is None or not math.isfinite(value) else float(value)


def examples_of(row: ReportRow) -> float:
    """How many puzzles a report was evaluated on."""
    return row.get("evaluated") or _EXAMPLES


def probed_examples(row: ReportRow, config: ProbeConfig) -> float:
    """How many puzzles a report was probed on."""
    # A probe is of the first of those that are evaluated.
    return min(config.examples, examples_of(row))


def deepened_examples(row: ReportRow, config: ProbeConfig) -> float:
    """How many puzzles a report's `depth_drop` is of; fewer rather than more."""
    measured = config.beyond == 4 and number(row, "accuracy_x4") is not None
    # As many as the section `thought` takes if it does not say.
    return min(200.0, examples_of(row)) if measured else probed_examples(row, config)


def when(row: ReportRow) -> float:
    """The share of the compute budget at which a report was made."""
    return float(row.get("progress") or 0.0)


def latest(rows: Sequence[ReportRow], column: str) -> tuple[float, ReportRow] | None:
    """The last finite value of a column, and its report."""
    for row in reversed(rows):
        value = number(row, column)
        if value is not None:
            return value, row
    return None
