"""The mark of the winner: one star in every figure that shows configs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from search.report.facts import Facts
from search.report.section import Legend
from search.report.theme import GROUND, WINNER
from search.report.trials import CONFIGS, SAYS

SIZE = 17
"""Pixels of the star, larger than any config's point."""


def winner_name(facts: Facts) -> str:
    """What a legend calls the star; before there is a winner, it is on the best explored config."""
    best = facts.best
    if best is None:
        return ""
    return f"{'winner' if facts.result else 'best so far'}, trial {best.id}"


def winner_key(facts: Facts) -> Legend:
    """Its line in the legend of several small figures."""
    return Legend("winner", winner_name(facts))


def mark_winner(
    figure: go.Figure, facts: Facts, x: Sequence[Any], y: Sequence[Any], **more: Any
) -> None:
    """Put the star where the winner stands, on top of what is drawn; nothing where it does not.

    Args:
        x: its places, `[n]`.
        y: the same.
        more: of the trace, such as what hovering says; else its number and settings are said.
    """
    best = facts.best
    if best is None or not x:
        return
    said: dict[str, Any] = {
        "name": winner_name(facts), "meta": CONFIGS, "customdata": [best.id] * len(x),
        "hovertemplate": SAYS + "<extra></extra>", **more,
    }  # fmt: skip
    figure.add_scatter(
        x=x, y=y, mode="markers",
        marker={
            "symbol": WINNER.symbol, "size": SIZE, "color": WINNER.color, "opacity": 1,
            "line": {"color": GROUND, "width": 1.5},
        },
        **said,
    )  # fmt: skip
