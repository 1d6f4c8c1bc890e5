"""Mean regret against compute, a panel for each family and number of workers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.judging.ratios import MeanCurve
from tests.benchmarks.judging.report import curves_of, grouped
from tests.benchmarks.judging.sweeps import Judged


def draw(found: Sequence[Judged], names: Sequence[str], path: Path) -> None:
    """Write a figure in the format of the path's ending."""
    from matplotlib.figure import Figure

    groups = grouped(found, names)
    figure = Figure(figsize=(4 * len(groups), 3.2), layout="constrained")
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    for panel, ((family, workers), methods) in zip(panels, groups.items(), strict=True):
        for name, worlds in methods.items():
            curve = MeanCurve.of(curves_of(worlds, sorted(worlds)))
            panel.plot(curve.budgets, curve.regrets, label=name, marker=".", linewidth=1)
        panel.set(
            xscale="log", yscale="log", xlabel="full runs", title=f"{family}, {workers} at once"
        )
    panels[0].set_ylabel("mean regret")
    panels[-1].legend(fontsize="small")
    figure.savefig(path)
