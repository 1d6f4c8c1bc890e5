"""Averaged and live weights that differ late in the run."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from curricula.component import Component
from trm.detectors.detector import Detector, Finding
from trm.detectors.evidence import examples_of, noise, number, when
from trm.report import ReportRow


class EMAConfig(Component):
    """Settings of `ema_dependence`.

    Attributes:
        ema_gap: difference between the averaged and the live weights' exact accuracy.
    """

    ema_gap: float | None = Field(default=0.075, gt=0.0, le=1.0)


def ema_dependence(rows: Sequence[ReportRow], config: EMAConfig) -> Finding | None:
    """Averaged and live weights that differ late in the run."""
    limit = config.ema_gap
    if limit is None or not rows or when(rows[-1]) < 0.75:
        return None
    last = rows[-1]
    exact, live = number(last, "exact_accuracy"), number(last, "live_exact_accuracy")
    if exact is None or live is None:
        return None
    allowed = limit + noise(exact, live, examples_of(last))
    if abs(exact - live) <= allowed:
        return None
    words = (
        f"averaged weights reach {exact:.3f}, live ones {live:.3f}: without EMA the run swings; "
        "keep train.ema, and lower optimizer.lr_min_ratio"
        if exact > live
        else f"averaged weights reach {exact:.3f}, live ones {live:.3f}: the average lags behind; "
        "turn train.ema off (null) or make it shorter"
    )
    return Finding(
        "ema_dependence",
        "warning",
        when(last),
        exact - live,
        allowed,
        "exact accuracy",
        words,
    )


EMA_DEPENDENCE = Detector(
    ema_dependence,
    EMAConfig,
    "averaged and live weights differ late in the run, beyond noise",
    "exact accuracy",
)
