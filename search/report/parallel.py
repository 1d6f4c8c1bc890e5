"""Parallel coordinates: every config as a line through its values, one row a parameter.

Rows instead of columns, so that the names can be read and a phone has room for them.
"""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go

from search.report.association import position, strongest, thin
from search.report.facts import ConfigPoint, Facts
from search.report.section import Panel, Picture, Section
from search.report.theme import BLUE, FAILED, FAINT, GROUND, INK, QUIET, SKY, chart, faded
from search.report.trials import SAYS
from search.report.winner import mark_winner
from search.report.words import listed, number, plain, short
from search.space.distributions import Choice, Distribution

MOST_LINES = 120
MOST_ROWS = 14
BEST = 0.2
FEWEST_SUMMED = 5
"""Configs of a group that is summarised in words."""
_ROW = 46
ABSENT = 1.12
"""Where a line passes a parameter that its config does not have."""


def parallel(facts: Facts) -> Section | None:
    """Lines from parameter to parameter and down to the score."""
    points = [p for p in facts.points if p.outcome != "pruned" and math.isfinite(p.score)]
    rows = strongest(facts)[:MOST_ROWS]
    if len(points) < 3 or len(rows) < 2 or all(p.outcome == "failed" for p in points):
        return None
    rows = rows[::-1]  # the strongest right above the score
    shown = thin(points, facts.objective, MOST_LINES)
    figure = chart(90 + _ROW * (len(rows) + 1), margin={"l": 40, "r": 10, "t": 10, "b": 10})
    scores = [p.score for p in points]
    low, high = min(scores), max(scores)
    _lines(figure, facts, shown, rows, low, high)
    _labels(figure, facts, rows, low, high)
    absent = any(name not in p.params for p in shown for name in rows)
    figure.update_xaxes(
        range=[-0.04, 1.2 if absent else 1.04],
        showgrid=False,
        showticklabels=False,
        fixedrange=True,
    )
    figure.update_yaxes(
        range=[len(rows) + 0.45, -0.5], showgrid=False, fixedrange=True,
        tickvals=list(range(len(rows) + 1)),
        ticktext=[*(_wrapped(name) for name in rows), f"<b>{facts.objective.column}</b>"],
    )  # fmt: skip
    # For the browser, which sifts the lines: what the rows are, and what the last one's ends mean.
    figure.update_layout(
        dragmode=False,
        meta={
            "axes": [*rows, facts.objective.column], "low": low, "high": high,
            "better": 1 if facts.objective.maximizes else -1,
        },
    )  # fmt: skip
    return Section(
        "parallel",
        "All configs at once",
        "",
        [
            Picture(
                "Parallel coordinates", _says(facts, points, absent), [Panel("parallel", figure)]
            )
        ],
    )


def _wrapped(name: str) -> str:
    """A long path on two lines, broken at a dot."""
    head, dot, tail = plain(name).rpartition(".")
    if len(name) <= 22 or not dot:
        return plain(name)
    return f"{head}.<br>{tail}"


def _lines(
    figure: go.Figure,
    facts: Facts,
    points: list[ConfigPoint],
    rows: list[str],
    low: float,
    high: float,
) -> None:
    whole = sorted(
        (p for p in points if p.outcome == "completed"),
        key=lambda p: facts.objective.merit(p.score),
    )
    failed = [p for p in points if p.outcome == "failed"]
    jitter = np.random.default_rng(0)
    offsets = {p.trial: float(jitter.uniform(-0.018, 0.018)) for p in points}
    if failed:
        x, y = _joined(facts, failed[:60], rows, offsets, low, high)
        figure.add_scatter(
            x=x, y=y, mode="lines", name="failed", meta=_lines_of(failed[:60]),
            hovertemplate=_SAID,
            line={"color": faded(FAILED.color, 0.45), "width": 1, "dash": FAILED.dash},
        )  # fmt: skip
    top = max(1, round(len(whole) * BEST))
    middle = max(top, len(whole) // 2)
    for name, group, look in (
        ("lower half", whole[: len(whole) - middle], {"color": faded(FAINT, 0.4), "width": 1}),
        ("better half", whole[len(whole) - middle : -top], {"color": faded(SKY, 0.6), "width": 1}),
        ("best fifth", whole[-top:], {"color": faded(BLUE, 0.75), "width": 1.3}),
    ):
        if group:
            x, y = _joined(facts, group, rows, offsets, low, high)
            ends = f"{number(group[0].score)} to {number(group[-1].score)}"
            figure.add_scatter(
                x=x, y=y, mode="lines", name=f"{name}, {ends}", line=look,
                meta=_lines_of(group), hovertemplate=_SAID,
            )  # fmt: skip
    best = facts.best
    mine = [p for p in points if best is not None and p.trial == best.id]
    if mine:
        x, y = _joined(facts, mine, rows, {}, low, high)
        figure.add_scatter(
            x=x, y=y, mode="lines", name="its line", showlegend=False,
            line={"color": INK, "width": 3}, hoverinfo="skip", meta={"winner": True},
        )  # fmt: skip
        mark_winner(figure, facts, x[:-1], y[:-1])


_SAID = SAYS + "<extra></extra>"


def _lines_of(points: list[ConfigPoint]) -> dict[str, list[int]]:
    """For the browser: whose lines a trace has, in order."""
    return {"lines": [p.trial for p in points]}


def _joined(
    facts: Facts, points: list[ConfigPoint], rows: list[str], offsets: dict[int, float],
    low: float, high: float,
) -> tuple[list[float | None], list[float | None]]:  # fmt: skip
    """All lines of a group as one trace, with gaps between them."""
    x: list[float | None] = []
    y: list[float | None] = []
    for point in points:
        for index, name in enumerate(rows):
            x.append(_place(facts.parameters[name], point, offsets.get(point.trial, 0.0)))
            y.append(index)
        x += [(point.score - low) / ((high - low) or 1.0), None]
        y += [len(rows), None]
    return x, y


def _place(distribution: Distribution, point: ConfigPoint, offset: float) -> float:
    if distribution.name not in point.params:
        return ABSENT + offset
    few = distribution.count <= 12
    return round(position(distribution, point.params[distribution.name]) + offset * few, 4)


def _labels(figure: go.Figure, facts: Facts, rows: list[str], low: float, high: float) -> None:
    for index, name in enumerate(rows):
        distribution = facts.parameters[name]
        figure.add_shape(
            type="line", x0=0, x1=1, y0=index, y1=index, line={"color": QUIET, "width": 1},
            layer="below",
        )  # fmt: skip
        for at, text in _ends(distribution):
            _tick(figure, at, index, text)
    bottom = len(rows)
    figure.add_shape(
        type="line", x0=0, x1=1, y0=bottom, y1=bottom, line={"color": INK, "width": 1.5},
        layer="below",
    )  # fmt: skip
    for at, value in ((0.0, low), (1.0, high)):
        _tick(figure, at, bottom, number(value))
    if any(name not in p.params for p in facts.points for name in rows):
        _tick(figure, ABSENT, -0.7, "not there")


def _ends(distribution: Distribution) -> list[tuple[float, str]]:
    if isinstance(distribution, Choice):
        last = max(len(distribution.options) - 1, 1)
        if len(distribution.options) > 5:
            ends = (0, len(distribution.options) - 1)
            return [(at / last, distribution.options[at]) for at in ends]
        return [(at / last, option) for at, option in enumerate(distribution.options)]
    bounds = (distribution.low, distribution.high)
    return [(float(at), short(distribution.cast(end))) for at, end in enumerate(bounds)]


def _tick(figure: go.Figure, x: float, y: float, text: str) -> None:
    cut = text if len(text) <= 14 else text[:13] + "…"
    figure.add_annotation(
        x=x, y=y, text=plain(cut), showarrow=False, yshift=-11, font={"size": 10.5, "color": QUIET},
        bgcolor=faded(GROUND, 0.8), borderpad=1,
        xanchor="left" if x == 0 else "right" if x == 1 else "center",
    )  # fmt: skip


def _says(facts: Facts, points: list[ConfigPoint], absent: bool) -> str:
    whole = [p for p in points if p.outcome == "completed"]
    whole.sort(key=lambda p: -facts.objective.merit(p.score))
    top = whole[: round(len(whole) * BEST)]
    agree = []
    for name, distribution in facts.parameters.items():
        places = [position(distribution, p.params[name]) for p in top if name in p.params]
        everywhere = [position(distribution, p.params[name]) for p in whole if name in p.params]
        if (
            len(places) >= FEWEST_SUMMED
            and np.std(everywhere) > 0
            and np.std(places) < 0.5 * np.std(everywhere)
        ):
            agree.append(name)
    text = (
        f"The {len(top)} best of {len(whole)} configs lie closer together than all of them in "
        f"{listed(agree[:5])}."
        if agree
        else f"The {len(top)} best of {len(whole)} configs lie no closer together than all of them."
        if len(top) >= FEWEST_SUMMED
        else f"A line is a config; {len(whole)} ran to their end."
    )
    if absent:
        text += " A line passes on the far right where its config does not have the parameter."
    return text
