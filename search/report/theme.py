"""Who looks how: a finalist has the same colour, marker and dash in every figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from search.stability.result import Result


def role_of(result: Result, trial: int) -> Role:
    """The look of a finalist; beyond the winner and four others, looks repeat."""
    if trial == result.winner:
        return WINNER
    others = [c.trial for c in result.candidates if c.trial != result.winner]
    return OTHERS[others.index(trial) % len(OTHERS)]


INK, QUIET, GRID, GROUND = "#1f2328", "#5c6370", "#e3e6ea", "#fdfdfc"
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = (
    "#0072b2", "#d55e00", "#009e73", "#b8609a", "#e69f00", "#56b4e9",
)  # fmt: skip
FAINT = "#8a9099"
DARK = {
    INK: "#e8e8e4", QUIET: "#a3a9b2", GRID: "#353a41", GROUND: "#15181c",
    BLUE: "#5cb8f0", VERMILION: "#ff8a4a", GREEN: "#3ccfa4", PURPLE: "#e29bcb",
    ORANGE: "#f0bd45", SKY: "#9bd3f7", FAINT: "#8b929c",
}  # fmt: skip
"""Each colour of a light page on a dark one."""
SCORES = "Cividis"
"""Low to high, readable without telling red from green, and on both grounds."""
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Role:
    """How one thing looks wherever it appears."""

    color: str
    symbol: str
    dash: str


WINNER = Role(BLUE, "star", "solid")
PLAIN = Role(BLUE, "circle", "solid")
"""What is no config, or one of many."""
RECIPE = Role(QUIET, "square", "dash")
FAILED = Role(VERMILION, "x", "dot")
OTHERS = (
    Role(GREEN, "diamond", "dashdot"),
    Role(PURPLE, "triangle-up", "longdash"),
    Role(ORANGE, "triangle-down", "longdashdot"),
    Role(SKY, "pentagon", "dot"),
)
"""Further finalists, in turn."""


def faded(color: str, alpha: float) -> str:
    """A colour that lets what is below it through.

    >>> faded("#0072b2", 0.2)
    'rgba(0,114,178,0.2)'
    """
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def chart(height: int = 380, **layout: Any) -> go.Figure:
    """An empty figure in the page's style.

    Args:
        height: of its box on the page, in pixels.
        layout: plotly's layout on top of the style.
    """
    axis = {
        "gridcolor": GRID, "linecolor": GRID, "zeroline": False, "automargin": True,
        "title": {"standoff": 8}, "tickcolor": GRID, "exponentformat": "none",
    }  # fmt: skip
    style = go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": INK},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {
                "bgcolor": GROUND, "bordercolor": QUIET, "font": {"color": INK}, "align": "left",
            },
            "margin": {"l": 56, "r": 16, "t": 16, "b": 48},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "hovermode": "closest",
            "colorway": [BLUE, *(role.color for role in OTHERS)],
        }
    )  # fmt: skip
    return go.Figure(layout={"template": style, "height": height, **layout})


def marker(role: Role, size: float = 9, **more: Any) -> dict[str, Any]:
    """A role's marker, with an edge that keeps crowded points apart."""
    return {
        "color": role.color, "symbol": role.symbol, "size": size,
        "line": {"color": GROUND, "width": 1}, **more,
    }  # fmt: skip
