"""Luck: what the search scored, against what fresh seeds said of the same configs."""

from __future__ import annotations

import plotly.graph_objects as go

from search.report.facts import Facts
from search.report.section import Panel, Picture, Section, Table
from search.report.theme import INK, chart, marker, role_of
from search.report.trials import CONFIGS, SAYS
from search.report.winner import SIZE
from search.report.words import number
from search.stability.claims import claim
from search.stability.result import Finalist, Result


def luck(facts: Facts) -> Section | None:
    """A point a finalist, above or below the line of equal scores; None without a result."""
    result = facts.result
    if result is None or not result.candidates:
        return None
    shown = result.candidates
    ends = [
        value
        for c in shown
        for value in (c.explored, c.mean, c.mean_low, c.mean_high)
        if value is not None
    ]
    margin = 0.05 * ((max(ends) - min(ends)) or 1.0)
    span = [min(ends) - margin, max(ends) + margin]
    figure = chart(
        380,
        xaxis_title=f"{result.objective} in the search, one seed",
        yaxis_title="over fresh seeds",
    )
    figure.add_scatter(
        x=span, y=span, mode="lines", name="no luck", hoverinfo="skip",
        line={"color": INK, "width": 1.2, "dash": "dot"},
    )  # fmt: skip
    for candidate in reversed(shown):
        _point(figure, result, candidate)
    figure.update_xaxes(range=span)
    figure.update_yaxes(range=span)
    rows = [
        (f"trial {c.trial}", number(c.explored), number(c.mean), f"{c.explored - c.mean:+.3f}")
        for c in shown
    ]
    return Section(
        "luck",
        "Luck",
        "The search picks the best of many scores of one seed each, so part of a score is luck. "
        "Below the line fresh seeds did worse than the search had it.",
        [
            Picture(
                "Explored scores against fresh seeds",
                _says(result),
                [Panel("luck", figure)],
                Table(("config", "in the search", "fresh seeds", "difference"), rows),
            )
        ],
    )


def _point(figure: go.Figure, result: Result, candidate: Finalist) -> None:
    role, won = role_of(result, candidate.trial), candidate.trial == result.winner
    low, high = candidate.mean_low, candidate.mean_high
    bars = {}
    if low is not None and high is not None:
        bars["error_y"] = {
            "type": "data", "symmetric": False, "thickness": 1.6, "color": role.color,
            "array": [high - candidate.mean], "arrayminus": [candidate.mean - low],
        }  # fmt: skip
    figure.add_scatter(
        x=[candidate.explored], y=[candidate.mean], mode="markers",
        name=f"winner, trial {candidate.trial}" if won else f"trial {candidate.trial}",
        marker=marker(role, SIZE if won else 10), customdata=[candidate.trial], meta=CONFIGS,
        hovertemplate=SAYS + "<br>%{x:.4g} in the search, %{y:.4g} over "
        "fresh seeds<extra></extra>", **bars,
    )  # fmt: skip


def _says(result: Result) -> str:
    found = result.optimism
    if found is None:
        return "How lucky the search's scores were was not recorded."
    if found.low is None or found.high is None:
        return f"The winner's explored score less its promise seeds: {found.winner:+.3f}."
    words = claim(
        "luck",
        mean=f"{found.mean:+.3f}",
        low=f"{found.low:+.3f}",
        high=f"{found.high:+.3f}",
        sure=f"{result.confidence:.0%}",
    )
    return f"{words[0].upper()}{words[1:]}; {found.winner:+.3f} for the winner."
