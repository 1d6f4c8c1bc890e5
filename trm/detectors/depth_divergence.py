"""A recursion that falls apart when it is run deeper."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from trm.detectors.detector import Detector, Finding
from trm.detectors.evidence import deepened_examples, latest, noise, number, when
from trm.detectors.probing import ProbeConfig
from trm.report import ReportRow


class DepthDivergenceConfig(ProbeConfig):
    """Settings of `depth_divergence`.

    Attributes:
        depth_drop: exact accuracy that is lost beyond the trained depth.
        radius_limit: spectral radius beyond which the recursion expands, if it has grown on the
            way: a falling one, even of 14, belongs to models that hold (chenglou/sudoku-solver).
    """

    depth_drop: float | None = Field(default=0.1, gt=0.0, le=1.0)
    radius_limit: float | None = Field(default=1.0, gt=0.0)


def depth_divergence(rows: Sequence[ReportRow], config: DepthDivergenceConfig) -> Finding | None:
    """Accuracy that falls beyond the trained depth, or a radius that has grown."""
    found, limit = latest(rows, "depth_drop"), config.depth_drop
    remedy = (
        "train with more model.halt_max_steps, from model.initial_state: random, "
        "or with a lower optimizer.lr"
    )
    if found is not None and limit is not None:
        drop, row = found
        exact = number(row, "exact_accuracy") or 0.0
        allowed = limit + noise(exact, max(exact - drop, 0.0), deepened_examples(row, config))
        if drop > allowed:
            return Finding(
                "depth_divergence", "warning", when(row), drop, allowed, "exact accuracy",
                f"run deeper than trained it loses {drop:.2f} of exact accuracy: {remedy}",
            )  # fmt: skip
    radii = [(v, row) for row in rows if (v := number(row, "spectral_radius")) is not None]
    if config.radius_limit is None or len(radii) < 2:
        return None
    (first, _), (last, row) = radii[0], radii[-1]
    if last <= config.radius_limit or last <= first or when(row) < 0.5:
        return None
    return Finding(
        "depth_divergence", "warning", when(row), last, config.radius_limit, "spectral radius",
        f"the recursion expands (spectral radius {first:.2f}, then {last:.2f}): {remedy}",
    )  # fmt: skip


DEPTH_DIVERGENCE = Detector(
    depth_divergence,
    DepthDivergenceConfig,
    "accuracy falls beyond the trained depth, or the spectral radius has grown past its limit",
    "exact accuracy; spectral radius",
)
