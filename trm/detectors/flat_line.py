"""Learning that never begins."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from curricula.component import Component
from trm.detectors.detector import Detector, Finding
from trm.detectors.evidence import number, when
from trm.report import ReportRow


class FlatConfig(Component):
    """Settings of `flat_line`.

    Attributes:
        flat_gain: gain of cell accuracy over the second half below which a run that solves nothing
            is flat.
    """

    flat_gain: float | None = Field(default=0.02, gt=0.0, le=1.0)


def flat_line(rows: Sequence[ReportRow], config: FlatConfig) -> Finding | None:
    """Nothing solved, and cell accuracy at a standstill over the second half."""
    limit = config.flat_gain
    late = [row for row in rows if when(row) >= 0.5]
    if limit is None or len(late) < 2 or when(late[-1]) < 0.75:
        return None
    exact = [value for row in rows if (value := number(row, "exact_accuracy")) is not None]
    cells = [value for row in late if (value := number(row, "cell_accuracy")) is not None]
    if not exact or len(cells) < 2 or max(exact) > 0.02:
        return None
    gain = max(cells) - cells[0]
    if gain > limit:
        return None
    return Finding(
        "flat_line", "failure", when(late[-1]), gain, limit, "cell accuracy",
        f"nothing is solved and cells stand at {cells[-1]:.3f} for the second half: raise "
        "optimizer.lr, shorten optimizer.lr_warmup_steps, give it more compute, or start with less "
        "depth (curriculum.depth)",
    )  # fmt: skip


FLAT_LINE = Detector(
    flat_line,
    FlatConfig,
    "nothing is solved and cell accuracy stands still in the second half",
    "cell accuracy",
)
