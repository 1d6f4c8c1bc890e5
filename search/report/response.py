"""Sensitivity: how the winner's score answers to each parameter, in runs made for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from search.report.facts import Facts
from search.report.section import Panel, Picture, Section, Table
from search.report.slices import log_ticks
from search.report.theme import BLUE, FAILED, GREEN, INK, ORANGE, WINNER, chart, faded, marker
from search.report.words import count, listed, number, plain, share, short, slug
from search.sensitivity import read_sensitivity

Tree = Mapping[str, Any]
_ROW = 36


def sensitivity(facts: Facts) -> Section | None:
    """A figure a parameter, one at a time; Sobol's indices where that design ran."""
    found = read_sensitivity(facts.folder)
    pictures = []
    if "oat" in found and found["oat"]["responses"]:
        pictures.append(_responses(found["oat"]))
    if "sobol" in found and found["sobol"]["score"]:
        pictures.append(_indices(found["sobol"]))
    if not pictures:
        return None
    return Section(
        "sensitivity",
        "Around the winner",
        "The winner's settings varied, over seeds, in runs made for it. Green is where the mean "
        "stays within the margin and no more runs fail; crosses are values at which runs failed.",
        pictures,
    )


def _responses(tree: Tree) -> Picture:
    responses = sorted(tree["responses"], key=lambda one: one["width"])
    panels = []
    for index, one in enumerate(responses):
        panels.append(Panel(f"response-{index + 1}-{slug(one['name'])}", _answer(tree, one),
                            one["name"]))  # fmt: skip
    rows = [
        (
            one["name"],
            short(one["winner"]),
            _safe(one),
            share(one["width"]),
            "; ".join(f"{short(c['near'])} to {short(c['far'])}: {c['change']:+.3f}"
                      for c in one["cliffs"]),
        )
        for one in responses
    ]  # fmt: skip
    return Picture(
        f"{tree['objective']} around the winner, one parameter at a time",
        _says(tree, responses),
        panels,
        Table(("parameter", "winner", "safe", "of its range", "cliffs"), rows),
    )


def _safe(one: Tree) -> str:
    if one["scale"] == "options":
        return listed([str(option) for option in one["safe"]])
    return " to ".join(short(end) for end in one["safe"])


def _answer(tree: Tree, one: Tree) -> go.Figure:
    figure = chart(240, showlegend=False, margin={"l": 44, "r": 10, "t": 8, "b": 36})
    options = one["scale"] == "options"
    points = [point for point in one["points"] if point["scores"]]
    values: list[Any] = [plain(str(p["value"])) if options else p["value"] for p in points]
    means = [sum(p["scores"]) / len(p["scores"]) for p in points]
    if not options and len(one["safe"]) == 2:
        figure.add_vrect(x0=one["safe"][0], x1=one["safe"][1], fillcolor=faded(GREEN, 0.15),
                         line_width=0)  # fmt: skip
    figure.add_scatter(
        x=[v for v, p in zip(values, points, strict=True) for _ in p["scores"]],
        y=[score for p in points for score in p["scores"]], mode="markers",
        marker=marker(WINNER, 6, opacity=0.5), hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(
        x=values, y=means, mode="markers" if options else "lines+markers",
        marker=marker(WINNER, 9), line={"color": WINNER.color, "width": 2},
        customdata=[f"{p['failures']} of {len(p['scores'])} failed" for p in points],
        hovertemplate="%{x}: %{y:.4g}, %{customdata}<extra></extra>",
    )  # fmt: skip
    failed = [(v, m) for v, m, p in zip(values, means, points, strict=True) if p["failures"]]
    if failed:
        figure.add_scatter(x=[v for v, _ in failed], y=[m for _, m in failed], mode="markers",
                           marker=marker(FAILED, 11), hoverinfo="skip")  # fmt: skip
    if options:
        figure.update_xaxes(type="category", showgrid=False)
    elif one["scale"] == "log":
        ticks = log_ticks(min(values), max(values))
        figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    if not options:
        figure.add_vline(x=one["winner"], line={"color": INK, "width": 1.2, "dash": "dot"})
    return figure


def _says(tree: Tree, responses: list[Tree]) -> str:
    narrow = responses[0]
    text = (
        f"{narrow['name']} is the touchiest: its safe range is {_safe(narrow)}, "
        f"{share(narrow['width'])} of what was searched."
    )
    cliffs = [one["name"] for one in responses if one["cliffs"]]
    if cliffs:
        text += f" Cliffs in {listed(cliffs)}."
    else:
        text += f" No cliff in {count(len(responses), 'parameter')}."
    return f"{text} {count(tree['seeds'], 'seed')} a value."


def _indices(tree: Tree) -> Picture:
    names = sorted(tree["score"], key=lambda name: tree["score"][name]["total"]["value"])
    figure = chart(110 + _ROW * len(names), barmode="group", xaxis_title="share of the variance")
    for key, name, color, shape in (
        ("total", "with all interactions", ORANGE, "/"), ("first", "alone", BLUE, ""),
    ):  # fmt: skip
        found = [tree["score"][n][key] for n in names]
        figure.add_bar(
            y=[plain(n) for n in names], x=[one["value"] for one in found], name=name,
            orientation="h",
            marker={"color": color, "pattern": {"shape": shape}},
            error_x={
                "type": "data", "symmetric": False, "thickness": 1.2, "width": 3, "color": INK,
                "array": [one["high"] - one["value"] for one in found],
                "arrayminus": [one["value"] - one["low"] for one in found],
            },
        )  # fmt: skip
    figure.update_xaxes(tickformat=".0%")
    figure.update_yaxes(showgrid=False)
    first = names[-1]
    best = tree["score"][first]
    rows = [
        (name, *(number(tree["score"][name][key]["value"]) for key in ("first", "total")))
        for name in names[::-1]
    ]
    return Picture(
        "Sobol indices",
        f"{first} causes {share(best['total']['value'])} of the variance with its interactions, "
        f"{share(max(best['first']['value'], 0.0))} alone.",
        [Panel("sobol", figure)],
        Table(("parameter", "alone", "with interactions"), rows),
    )
