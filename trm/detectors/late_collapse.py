"""Exact accuracy that ends below a peak that the run held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pydantic import Field

from curricula.component import Component
from trm.detectors.detector import Detector, Finding, Severity
from trm.detectors.evidence import examples_of, noise, number, when
from trm.report import ReportRow


class CollapseConfig(Component):
    """Settings of `late_collapse`.

    Attributes:
        drop: fall of exact accuracy below its peak, beyond noise, that is a late collapse.
        collapse: share of the peak that is lost at the last report, for the run's outcome to be
            `collapsed`, which scores the floor.
    """

    drop: float | None = Field(default=0.05, gt=0.0, le=1.0)
    collapse: float | None = Field(default=0.5, gt=0.0, le=1.0)


def late_collapse(rows: Sequence[ReportRow], config: CollapseConfig) -> Finding | None:
    """Exact accuracy that ends below a peak it held."""
    if config.drop is None:
        return None
    # A fall that was made up for by the end is not one: what counts is where the run stands.
    fall = _fall(rows, config.drop)
    if fall is None:
        return None
    first = len(rows)
    while first > 3 and _fall(rows[: first - 1], config.drop) is not None:
        first -= 1
    severity: Severity = "failure" if has_collapsed(rows, config) else "warning"
    return Finding(
        "late_collapse", severity, when(rows[first - 1]), fall.lost, fall.allowed, "exact accuracy",
        f"exact accuracy fell from {fall.peak:.3f} to {fall.now:.3f} and stayed down: stop "
        "earlier, or lower optimizer.lr or its floor optimizer.lr_min_ratio",
    )  # fmt: skip


def has_collapsed(rows: Sequence[ReportRow], config: CollapseConfig) -> bool:
    """Whether a run that ends with these rows has lost what it had learnt."""
    if config.collapse is None:
        return False
    fall = _fall(rows, config.drop or 0.0)
    return fall is not None and fall.lost >= config.collapse * fall.peak


@dataclass(frozen=True)
class _Fall:
    peak: float
    now: float
    allowed: float

    @property
    def lost(self) -> float:
        return self.peak - self.now


def _fall(rows: Sequence[ReportRow], least: float) -> _Fall | None:
    """How far the last report's exact accuracy is below its peak; None if by no more than noise.

    The peak is what two reports in a row held: the best of many single ones is luck in part.
    """
    counted = [(a, row) for row in rows if (a := number(row, "exact_accuracy")) is not None]
    if len(counted) < 3:
        return None
    values = [accuracy for accuracy, _ in counted]
    peak = max(min(pair) for pair in pairwise(values[:-1]))
    now, _ = counted[-1]
    examples = min(examples_of(row) for _, row in counted)
    allowed = least + noise(peak, now, examples)
    return _Fall(peak, now, allowed) if peak - now > allowed else None


LATE_COLLAPSE = Detector(
    late_collapse,
    CollapseConfig,
    "exact accuracy ends below a peak that two reports held, beyond noise",
    "exact accuracy",
)
