"""Several losses between two reports far above their rolling median."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from curricula.component import Component
from trm.detectors.detector import Detector, Finding
from trm.detectors.evidence import number, when
from trm.report import ReportRow


class RollingConfig(Component):
    """What the rolling ratios of a run's loss and gradient norm are taken of.

    Attributes:
        spike_window: steps of the rolling median that losses and gradient norms are held against.
    """

    spike_window: int = Field(default=32, ge=4, le=1_000_000)


class SpikeConfig(RollingConfig):
    """Settings of `loss_spike`.

    Attributes:
        spike_factor: a loss above this many medians is a spike.
        spike_floor: median loss below which ratios are taken to this value instead: a solved task
            has losses near 0, whose ratios say nothing.
        spike_steps: spikes between two reports that are a finding.
    """

    spike_factor: float | None = Field(default=3.0, gt=1.0)
    spike_floor: float = Field(default=0.2, ge=0.0)
    spike_steps: int = Field(default=2, ge=1, le=1_000_000)


def loss_spike(rows: Sequence[ReportRow], config: SpikeConfig) -> Finding | None:
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


LOSS_SPIKE = Detector(
    loss_spike,
    SpikeConfig,
    "several steps between two reports have a loss far above the rolling median",
    "rolling medians",
)
