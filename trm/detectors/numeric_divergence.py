"""A loss or gradient that is not finite."""

from __future__ import annotations

from collections.abc import Sequence

from curricula.component import Component
from trm.detectors.detector import Detector, Finding
from trm.detectors.evidence import when
from trm.report import ReportRow


class DivergenceConfig(Component):
    """Nothing to set: a run that is not finite any more has ended."""


def numeric_divergence(rows: Sequence[ReportRow], config: DivergenceConfig) -> Finding | None:
    """A report that says the run is not finite any more."""
    for row in rows:
        if row.get("diverged"):
            return Finding(
                "numeric_divergence", "failure", when(row), 1.0, 0.0, "steps",
                f"a loss or gradient was not finite after step {row.get('step', '?')}: lower "
                "optimizer.lr, or lengthen optimizer.lr_warmup_steps",
            )  # fmt: skip
    return None


NUMERIC_DIVERGENCE = Detector(
    numeric_divergence,
    DivergenceConfig,
    "a loss or gradient is not finite",
    "steps",
    sees_divergence=True,
)
