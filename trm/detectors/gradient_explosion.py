"""A gradient norm far above its rolling median, or a step large against the weights."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from trm.detectors.detector import Detector, Finding
from trm.detectors.evidence import number, when
from trm.detectors.loss_spike import RollingConfig
from trm.report import ReportRow


class GradientConfig(RollingConfig):
    """Settings of `gradient_explosion`.

    Attributes:
        gradient_factor: a gradient norm above this many medians is an explosion.
        update_limit: so is an optimiser step of more than this share of the weights' norm.
    """

    gradient_factor: float | None = Field(default=100.0, gt=1.0)
    update_limit: float | None = Field(default=0.3, gt=0.0)


def gradient_explosion(rows: Sequence[ReportRow], config: GradientConfig) -> Finding | None:
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


GRADIENT_EXPLOSION = Detector(
    gradient_explosion,
    GradientConfig,
    "a gradient norm far above its rolling median, or a step large against the weights",
    "rolling medians; norm of the weights",
)
