"""A curriculum's plan as a picture: one panel a quantity, over the share of compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from itertools import pairwise
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from curricula.preview import Preview
from search.analysis.curriculum import (
    NUMBERS,
    WHOLE,
    CurriculumPlan,
    at_share,
    mean_difficulty,
    numbers,
    recorded,
)
from search.analysis.curriculum_text import constants, summary, title

PLANNED, LATEST, RECORDED, QUIET = "#0072B2", "#009E73", "#D55E00", "#666666"
"""Okabe and Ito's colours, which colour-blind people tell apart."""
SOURCES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
DENSITY = "Blues"
FINEST = 100
"""Slices of the order of difficulty that are told apart where there are more."""

PART_OF = {
    "H_cycles": "depth", "L_cycles": "depth", "supervision_steps": "supervision",
    "lr_factor": "learning_rate", "learning_rate": "learning_rate",
}  # fmt: skip
"""The part of the curriculum whose labels stand in a quantity's panel, where named otherwise."""

WIDTH, LEFT, RIGHT, GAP = 8.5, 1.75, 1.0, 0.2
"""Inches of the picture, of its margins, and between panels."""
BESIDE = {"supervision_weights", "difficulty", "sources"}
"""Panels with a key to their colours on the right."""

DrawPanel = Callable[[Axes], None]


def picture(plan: CurriculumPlan, kind: str) -> bytes:
    """The picture as a file of a kind: png, svg or pdf."""
    # Text stays text in SVG; equal plans make equal files.
    stamp = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    file = BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "trm", "font.size": 9.0}):
        figure(plan).savefig(file, format=kind, dpi=150, metadata=stamp)
    return file.getvalue()


def figure(plan: CurriculumPlan) -> Figure:
    """The picture as matplotlib's figure."""
    panels = _panels(plan)
    said = fill(" ".join(summary(plan)), 132)
    footer = fill(constants(plan), 142)
    handles = _handles(plan)
    right = RIGHT if {key for _, key, _ in panels} & BESIDE else 0.3
    # All in inches, from the top: title, sentences, legend, counted steps, panels, footer.
    above = 0.4 + 0.15 * (said.count("\n") + 1) + (0.3 if len(handles) > 1 else 0.0) + 0.5
    below = 0.75 + 0.14 * (footer.count("\n") + 1)
    height = above + sum(size + GAP for size, _, _ in panels) - GAP + below
    drawn = Figure(figsize=(WIDTH, height), facecolor="white")

    def write(text: str, down: float, **how: Any) -> None:
        drawn.text(0.12 / WIDTH, 1.0 - down / height, text, va="top", **how)

    write(title(plan), 0.12, fontsize=12, fontweight="bold")
    write(said, 0.4, fontsize=8.5, linespacing=1.25)
    write(footer, height - below + 0.6, fontsize=8, color=QUIET)
    if len(handles) > 1:
        corner = (1.0 - 0.15 / WIDTH, 1.0 - (above - 0.72) / height)
        drawn.legend(
            handles=handles, loc="upper right", bbox_to_anchor=corner, ncols=len(handles),
            frameon=False, borderaxespad=0.0,
        )  # fmt: skip
    axes: list[Axes] = []
    labelled: set[str] = set()
    bottom = height - above
    for size, key, draw in panels:
        bottom -= size
        panel = drawn.add_axes(
            (LEFT / WIDTH, bottom / height, (WIDTH - LEFT - right) / WIDTH, size / height)
        )
        bottom -= GAP
        panel.set_xlim(0.0, 1.0)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8)
        draw(panel)
        part = PART_OF.get(key, key)
        if part not in labelled:
            _label(panel, plan, part)
            labelled.add(part)
        panel.xaxis.set_major_formatter(PercentFormatter(1.0))
        panel.tick_params(labelbottom=False)
        axes.append(panel)
    axes[-1].tick_params(labelbottom=True)
    axes[-1].set_xlabel("share of compute")
    _count_steps(axes[0], plan)
    return drawn


def _panels(plan: CurriculumPlan) -> list[tuple[float, str, DrawPanel]]:
    """Height in inches, key and drawing of each panel."""
    panels = [(0.85, key, _number(plan, key)) for key in plan.driven]
    before_weights = sum(key in WHOLE for key in plan.driven)
    others: list[tuple[float, str, DrawPanel]] = []
    if plan.weighs_steps:
        others.append((1.1, "supervision_weights", lambda panel: _weights(panel, plan)))
    if plan.drives_difficulty:
        others.append((1.5, "difficulty", lambda panel: _difficulty(panel, plan)))
    if plan.drives_sources:
        others.append((1.1, "sources", lambda panel: _sources(panel, plan)))
    panels[before_weights:before_weights] = others
    return panels or [(0.85, "H_cycles", _number(plan, "H_cycles"))]


def _number(plan: CurriculumPlan, key: str) -> DrawPanel:
    def draw(panel: Axes) -> None:
        _name(panel, NUMBERS[key])
        if plan.latest is not None:
            grid = np.linspace(0.0, 1.0, 2001)
            first, last = (
                [values[at_share(path, share)] for share in grid]
                for path, values in (
                    (plan.path, numbers(plan, plan.path, key)),
                    (plan.latest, numbers(plan, plan.latest, key)),
                )
            )
            if first != last:
                panel.fill_between(grid, first, last, step="post", color=LATEST, alpha=0.15, lw=0)
                _line(panel, plan.latest, numbers(plan, plan.latest, key), key, LATEST, "--")
        _line(panel, plan.path, numbers(plan, plan.path, key), key, PLANNED, "-")
        shares, values = recorded(plan.reports, key)
        panel.plot(shares, values, "o", color=RECORDED, markersize=4, clip_on=False, zorder=4)
        whole = key in WHOLE
        panel.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 4, 5, 10], integer=whole))
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
        panel.margins(y=0.12)
        if whole:
            panel.set_ylim(bottom=0.0)

    return draw


def _line(
    panel: Axes, path: Preview, values: Sequence[float], key: str, color: str, style: str
) -> None:
    panel.plot(
        _shares(path), [*values, values[-1]], style, color=color, linewidth=1.6,
        drawstyle="steps-post" if key in WHOLE else "default",
    )  # fmt: skip


def _difficulty(panel: Axes, plan: CurriculumPlan) -> None:
    """The examples that come next, in their order of difficulty: a window, or shaded bins."""
    _name(panel, "difficulty of\nnew examples")
    parts = [point.stage.difficulty for point in plan.path.points]
    if all(len(part) <= 1 for part in parts):
        for path, color, style in ((plan.path, PLANNED, "-"), (plan.latest, LATEST, "--")):
            if path is None:
                continue
            ends = [(p.stage.difficulty or ((0.0, 1.0),))[0][:2] for p in path.points]
            low, high = np.array([*ends, ends[-1]]).T
            if path is plan.path:
                panel.fill_between(_shares(path), low, high, color=color, alpha=0.3, linewidth=0)
            for edge in (low, high):
                panel.plot(_shares(path), edge, style, color=color, linewidth=1.2)
    else:
        edges = sorted({edge for part in parts for s in part for edge in s[:2]} | {0.0, 1.0})
        if len(edges) > FINEST + 1:
            edges = [index / FINEST for index in range(FINEST + 1)]
        density = np.ones((len(edges) - 1, len(parts)))
        for column, part in enumerate(parts):
            if part:
                total = sum(slice_.weight for slice_ in part)
                for row, (bottom, top) in enumerate(pairwise(edges)):
                    inside = [s for s in part if s.low <= (bottom + top) / 2 < s.high]
                    share = sum(s.weight / (s.high - s.low) for s in inside)
                    density[row, column] = share / total
        # Where all are alike the density is 1: half way up the scale, if nothing is beyond it.
        most = max(2.0, float(density.max()))
        _bar(panel, _mesh(panel, plan.path, edges, density, most), "times their\neven share")
    shares, values = recorded(plan.reports, "train_difficulty")
    if shares:
        means = [mean_difficulty(part) for part in parts]
        panel.plot(_shares(plan.path), [*means, means[-1]], ":", color="black", linewidth=1.2)
        panel.plot(shares, values, "o", color=RECORDED, markersize=4, zorder=4)
    panel.set_ylim(0.0, 1.0)
    panel.set_yticks([0.0, 0.5, 1.0], ["easiest", "", "hardest"])


def _weights(panel: Axes, plan: CurriculumPlan) -> None:
    """What the loss of each supervision step counts."""
    _name(panel, "weight of\nsupervision step")
    columns = [point.stage.supervision_weights for point in plan.path.points]
    steps = max(map(len, columns))
    table = np.full((steps, len(columns)), np.nan)
    for index, weights in enumerate(columns):
        table[: len(weights), index] = weights
    edges = [step + 0.5 for step in range(steps + 1)]
    _bar(panel, _mesh(panel, plan.path, edges, table, float(np.nanmax(table))), "weight")
    panel.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))


def _sources(panel: Axes, plan: CurriculumPlan) -> None:
    """Each source's share of the new examples."""
    _name(panel, "source of\nnew examples")
    count = len(plan.sources)
    mixes = [point.stage.sources or (0.0,) * count for point in plan.path.points]
    shares = np.array([*mixes, mixes[-1]]).T
    colors = [SOURCES[index % len(SOURCES)] for index in range(count)]
    panel.stackplot(_shares(plan.path), shares, labels=plan.sources, colors=colors, alpha=0.8)
    panel.set_ylim(0.0, 1.0)
    panel.yaxis.set_major_formatter(PercentFormatter(1.0))
    panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)


def _mesh(
    panel: Axes, path: Preview, edges: Sequence[float], values: NDArray[np.float64], most: float
) -> QuadMesh:
    return panel.pcolormesh(
        _shares(path), edges, values, cmap=DENSITY, vmin=0.0, vmax=most, rasterized=True
    )


def _bar(panel: Axes, mesh: QuadMesh, name: str) -> None:
    # Beside the panel, not taken from its width: all panels share one axis of compute.
    beside = panel.inset_axes((1.015, 0.0, 0.012, 1.0))
    bar = panel.figure.colorbar(mesh, cax=beside)
    bar.set_label(name, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)


def _shares(path: Preview) -> list[float]:
    """Where each point begins, and the end of the run."""
    return [*(point.progress for point in path.points), 1.0]


def _name(panel: Axes, text: str) -> None:
    panel.annotate(
        text, (0.0, 0.5), xycoords="axes fraction", xytext=(-72 * (LEFT - 0.12), 0),
        textcoords="offset points", va="center",
    )  # fmt: skip


def _label(panel: Axes, plan: CurriculumPlan, part: str) -> None:
    """The milestones that the config names, where they belong."""
    marks = [mark for mark in plan.path.landmarks if mark.part == part]
    for index, mark in enumerate(marks):
        share = mark.point.progress
        panel.axvline(share, color=QUIET, linewidth=0.8, linestyle=":")
        panel.annotate(
            mark.label, (share, 0.97 - 0.2 * (index % 3)), xycoords=("data", "axes fraction"),
            xytext=(-3 if share > 0.8 else 3, 0), textcoords="offset points", va="top",
            ha="right" if share > 0.8 else "left", fontsize=7.5, zorder=5,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip


def _count_steps(panel: Axes, plan: CurriculumPlan) -> None:
    """The training steps along the top."""
    path = plan.path
    shares = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    begun = [*(point.step for point in path.points), path.steps]
    steps = np.interp(shares, _shares(path), begun)
    top = panel.secondary_xaxis("top")
    top.set_xticks(shares, [f"{step:,.0f}" for step in steps], fontsize=7.5)
    top.tick_params(length=2, color=QUIET, labelcolor=QUIET)
    top.spines["top"].set_visible(False)
    when = " (earliest)" if plan.latest is not None else ""
    top.set_xlabel(f"training steps{when}", fontsize=7.5, color=QUIET)


def _handles(plan: CurriculumPlan) -> list[Line2D]:
    """What the legend explains; one line alone needs no legend."""
    first = "plan" if plan.latest is None else "earliest"
    handles = [Line2D([], [], color=PLANNED, label=first)]
    if plan.latest is not None:
        handles.append(Line2D([], [], color=LATEST, linestyle="--", label="latest"))
    if plan.reports:
        handles.append(
            Line2D([], [], color=RECORDED, marker="o", linestyle="", label="recorded in the run")
        )
        if plan.drives_difficulty:
            handles.append(Line2D([], [], color="black", linestyle=":", label="mean of the plan"))
    return handles
