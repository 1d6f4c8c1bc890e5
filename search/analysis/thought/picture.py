"""Accuracy against the compute of inference as a picture: depth and breadth on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from search.analysis.thought.result import Thought, ThoughtPoint
from search.analysis.thought.text import noise_text

DEPTH, BREADTH, QUIET = "#0072B2", "#D55E00", "#666666"
"""Okabe and Ito's colours, which colour-blind people tell apart."""


def picture(found: Thought, kind: str) -> bytes:
    """The picture as a file of a kind: png, svg or pdf."""
    # Text stays text in SVG; equal results make equal files.
    stamp = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    file = BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "trm", "font.size": 9.0}):
        figure(found).savefig(file, format=kind, dpi=150, metadata=stamp)
    return file.getvalue()


def figure(found: Thought) -> Figure:
    """The picture as matplotlib's figure."""
    pick = found.picks[0]
    drawn = Figure(figsize=(7.0, 4.4), facecolor="white", layout="constrained")
    panel = drawn.subplots()
    panel.set_xscale("log")
    panel.spines[["top", "right"]].set_visible(False)
    panel.set_xlabel("FLOPs of inference, a puzzle")
    panel.set_ylabel("share of puzzles that are right")
    panel.grid(axis="y", color="#e3e6ea", linewidth=0.8)
    narrow, shallow = found.by_depth[0].breadth, found.by_breadth[0].depth
    wide = len(found.by_breadth) > 1
    for name in dict.fromkeys(("q", pick)) if "q" in found.picks else (pick,):
        words = "last answer" if name == "q" and narrow == 1 else f"picked by {name}"
        style = "-" if name == pick else "--"
        label = f"depth, {_rollouts(narrow)}, {words}"
        _line(panel, found.by_depth, name, DEPTH, "o", style, label)
    if wide:
        label = f"breadth at {shallow}x depth, picked by {pick}"
        _line(panel, found.by_breadth, pick, BREADTH, "s", "-", label)
        panel.plot(
            [point.flops for point in found.by_breadth],
            [point.passed.mean for point in found.by_breadth],
            color=BREADTH, linestyle=":", marker="s", markerfacecolor="white", markersize=5,
            label="breadth, pass@K",
        )  # fmt: skip
    panel.legend(frameon=False, loc="best")
    noise = f"; noise {noise_text(found.noise)}" if wide else ""
    panel.set_title(
        f"{found.examples:,} puzzles of {found.source}{noise}; bars: {found.confidence:.0%}",
        fontsize=8.5, color=QUIET, loc="left",
    )  # fmt: skip
    return drawn


def _rollouts(count: int) -> str:
    return "one rollout" if count == 1 else f"{count} rollouts"


def _line(
    panel: Axes,
    points: Sequence[ThoughtPoint],
    pick: str,
    color: str,
    marker: str,
    style: str,
    label: str,
) -> None:
    shares = [point.picked[pick] for point in points]
    panel.errorbar(
        [point.flops for point in points],
        [share.mean for share in shares],
        yerr=[
            [max(share.mean - share.low, 0.0) for share in shares],
            [max(share.high - share.mean, 0.0) for share in shares],
        ],
        color=color, marker=marker, markersize=5, linewidth=1.5, linestyle=style, label=label,
        capsize=2, elinewidth=0.8,
    )  # fmt: skip
    for point, share in zip(points, shares, strict=True) if style == "-" else ():
        text = f"{point.depth}x" if color == DEPTH else f"K{point.breadth}"
        panel.annotate(
            text, (point.flops, share.mean), textcoords="offset points", xytext=(4, -11),
            fontsize=8, color=color,
        )  # fmt: skip
