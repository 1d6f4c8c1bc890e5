"""Thinking longer and more often: what `trm eval --depth ... --breadth ...` has kept in the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search.analysis.thought.result import MeasuredShare, Thought, ThoughtPoint, read_thought
from search.analysis.thought.text import noise_text
from search.report.facts import Facts
from search.report.section import Panel, Picture, Section, Table
from search.report.theme import BLUE, VERMILION, chart
from search.report.words import listed, number, plain


def thought(facts: Facts) -> Section | None:
    """Accuracy against the compute of inference; None where nobody has evaluated it."""
    found = read_thought(facts.folder)
    if found is None:
        return None
    return Section(
        "thought",
        "Depth and breadth",
        f"The winner with more compute than in training: rollouts of several times its "
        f"{found.trained_steps} supervision steps, and several rollouts of which one answer is "
        f"picked. {found.examples:,} puzzles of {found.source}, {_models(found)}; bars are "
        f"{found.confidence:.0%} intervals.",
        [_picture(found)],
    )


def _models(found: Thought) -> str:
    count = len(found.models)
    return "one model" if count == 1 else f"means over {count} seeds"


def _picture(found: Thought) -> Picture:
    pick = found.picks[0]
    figure = chart(400, xaxis_title="FLOPs of inference, a puzzle",
                   yaxis_title="share of puzzles that are right")  # fmt: skip
    figure.update_xaxes(type="log", exponentformat="power")
    narrow = found.by_depth[0].breadth
    last = [name for name in ("q",) if name in found.picks and name != pick]
    for name in (*last, pick):
        words = "last answer" if name == "q" and narrow == 1 else f"picked by {name}"
        dash = "solid" if name == pick else "dash"
        _line(figure, found.by_depth, name, f"depth, {words}", BLUE, "circle", dash)
    if len(found.by_breadth) > 1:
        words = f"breadth, picked by {pick}"
        _line(figure, found.by_breadth, pick, words, VERMILION, "square", "solid")
        figure.add_scatter(
            x=[point.flops for point in found.by_breadth],
            y=[point.passed.mean for point in found.by_breadth],
            mode="lines+markers", name="breadth, pass@K", customdata=_named(found.by_breadth),
            line={"color": VERMILION, "dash": "dot", "width": 1.5},
            marker={"color": VERMILION, "symbol": "square-open", "size": 8},
            hovertemplate="%{y:.3f} with %{customdata}<extra>pass@K</extra>",
        )  # fmt: skip
    rows = [
        (
            f"{point.depth}x",
            str(point.breadth),
            number(point.flops),
            number(point.passed.mean),
            number(point.passed_anywhere.mean),
            *(number(point.picked[name].mean) for name in found.picks),
            _interval(point.picked[pick]),
            number(point.gaps[pick]),
        )
        for point in found.points
    ]
    head = (
        "depth", "rollouts", "FLOPs", "pass@K", "any step", *found.picks, f"interval of {pick}",
        f"gap of {pick}",
    )  # fmt: skip
    return Picture(
        "Accuracy against the compute of inference",
        _says(found),
        [Panel("thought", figure)],
        Table(head, rows),
    )


def _line(
    figure: Any,
    points: Sequence[ThoughtPoint],
    pick: str,
    name: str,
    color: str,
    symbol: str,
    dash: str,
) -> None:
    shares = [point.picked[pick] for point in points]
    figure.add_scatter(
        x=[point.flops for point in points], y=[share.mean for share in shares],
        mode="lines+markers", name=plain(name), customdata=_named(points),
        error_y={
            "type": "data", "symmetric": False, "thickness": 1, "width": 3,
            "array": [max(share.high - share.mean, 0.0) for share in shares],
            "arrayminus": [max(share.mean - share.low, 0.0) for share in shares],
        },
        line={"color": color, "dash": dash, "width": 2},
        marker={"color": color, "symbol": symbol, "size": 9},
        hovertemplate="%{y:.3f} with %{customdata}<extra>" + plain(name) + "</extra>",
    )  # fmt: skip


def _named(points: Sequence[ThoughtPoint]) -> list[str]:
    return [f"{point.depth}x depth, {point.breadth} rollouts" for point in points]


def _interval(share: MeasuredShare) -> str:
    return f"{number(share.low)} to {number(share.high)}"


def _says(found: Thought) -> str:
    pick = found.picks[0]
    first, deepest, widest = found.points[0], found.by_depth[-1], found.by_breadth[-1]
    base = first.picked[pick].mean
    told = []
    if deepest.depth > first.depth:
        change = deepest.picked[pick].mean - base
        told.append(f"{_change(change)} at {deepest.depth} times the depth")
    if widest.breadth > first.breadth:
        change = widest.picked[pick].mean - base
        told.append(
            f"{_change(change)} with {widest.breadth} rollouts (noise {noise_text(found.noise)}), "
            f"where {number(widest.gaps[pick])} of the puzzles have a right answer that was not "
            "picked"
        )
    start = f"At the trained depth {number(base)} is right, picked by {pick}; it"
    return f"{start} {listed(told)}." if told else f"{start.removesuffix('; it')}."


def _change(change: float) -> str:
    if abs(change) < 0.0005:
        return "changes nothing"
    return f"{'gains' if change > 0 else 'loses'} {number(abs(change))}"
