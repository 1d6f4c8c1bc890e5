"""Sensitivity: how the winner's score answers to each parameter, in runs made for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from search.report.facts import Facts
from search.report.scrub import anonymous
from search.report.section import Panel, Picture, Section, Table
from search.report.slices import log_ticks
from search.report.sobol import sobol
from search.report.theme import FAILED, GREEN, INK, PLAIN, QUIET, VERMILION, chart, faded, marker
from search.report.words import count, listed, number, plain, share, short, slug
from search.stability.sensitivity_result import read_sensitivity

StoredTree = Mapping[str, Any]
MOST_NAMED = 4
_HALF = 0.4
"""Half the width of an option's place, in places."""


def sensitivity(facts: Facts) -> Section | None:
    """A figure a parameter, one at a time; Sobol's indices where that design ran."""
    found = read_sensitivity(facts.folder)
    pictures = []
    if "oat" in found and found["oat"]["responses"]:
        pictures += [_responses(found["oat"]), _points(found["oat"])]
    if "sobol" in found:
        pictures += sobol(found["sobol"])
    if not pictures:
        return None
    return Section(
        "sensitivity",
        "Around the winner",
        f"{_around(facts, found)} varied, over seeds, in runs made for it. Green is where the mean "
        "stays within the margin and no more runs fail; crosses are values at which runs failed, "
        "dashes are cliffs: losses or gains from one value to the next that are large and more "
        "than noise.",
        pictures,
    )


def _around(facts: Facts, found: StoredTree) -> str:
    """Whose settings: a run that was extended may have another winner by now."""
    trials = list(dict.fromkeys(tree["winner"] for tree in found.values()))
    if facts.result is None or trials == [facts.result.winner]:
        return "The winner's settings"
    whose = listed([f"trial {trial}" for trial in trials])
    return f"The settings of {whose} (the winner now is trial {facts.result.winner})"


def _responses(tree: StoredTree) -> Picture:
    # A safe range that ends where trying ended is narrow for no fault of the parameter.
    responses = sorted(tree["responses"], key=lambda one: (all(one["open"]), one["width"]))
    scores = [score for one in responses for point in one["points"] for score in point["scores"]]
    low, high = min(scores, default=0.0), max(scores, default=1.0)
    margin = 0.06 * ((high - low) or 1.0)
    panels = []
    for index, one in enumerate(responses):
        figure = _answer(one)
        # One scale for all: noise must not look like the cliff beside it.
        figure.update_yaxes(range=[low - margin, high + margin])
        panels.append(Panel(f"response-{index + 1}-{slug(one['name'])}", figure, one["name"]))
    rows = [
        (one["name"], short(one["winner"]), _safe(one), share(one["width"]), _cliffs(tree, one))
        for one in responses
    ]
    return Picture(
        f"{tree['objective']} around the winner, one parameter at a time",
        _says(tree, responses),
        panels,
        Table(("parameter", "winner", "safe", "of its range", "cliffs"), rows),
    )


def _safe(one: StoredTree) -> str:
    if one["scale"] == "options":
        return listed([str(option) for option in one["safe"]])
    low, high = (short(end) for end in one["safe"])
    return (
        f"{low}{' or below' if one['open'][0] else ''} to "
        f"{high}{' or above' if one['open'][1] else ''}"
    )


def _cliffs(tree: StoredTree, one: StoredTree) -> str:
    sign = 1.0 if tree["maximizes"] else -1.0
    return "; ".join(
        f"{short(cliff['near'])} to {short(cliff['far'])}: {sign * cliff['change']:+.3f}"
        + (f", failed runs {cliff['failed']:+.0%}" if cliff["failed"] else "")
        for cliff in one["cliffs"]
    )


def _mean(point: StoredTree) -> float:
    return math.fsum(point["scores"]) / len(point["scores"])


def _answer(one: StoredTree) -> go.Figure:
    figure = chart(240, showlegend=False, margin={"l": 44, "r": 10, "t": 8, "b": 36})
    options = one["scale"] == "options"
    points = [point for point in one["points"] if point["scores"]]
    where = {
        str(point["value"]): plain(str(point["value"])) if options else point["value"]
        for point in one["points"]
    }
    values = [where[str(point["value"])] for point in points]
    means = [_mean(point) for point in points]
    for low, high in _green(one):
        figure.add_vrect(x0=low, x1=high, fillcolor=faded(GREEN, 0.15), line_width=0)
    figure.add_scatter(
        x=[v for v, p in zip(values, points, strict=True) for _ in p["scores"]],
        y=[score for p in points for score in p["scores"]], mode="markers",
        marker=marker(PLAIN, 6, opacity=0.5), hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(
        x=values, y=means, mode="markers" if options else "lines+markers",
        marker=marker(PLAIN, 9), line={"color": PLAIN.color, "width": 2},
        customdata=[f"{p['failures']} of {len(p['scores'])} failed" for p in points],
        hovertemplate="%{x}: %{y:.4g}, %{customdata}<extra></extra>",
    )  # fmt: skip
    heights = dict(zip((str(p["value"]) for p in points), means, strict=True))
    for cliff in one["cliffs"]:
        ends = str(cliff["near"]), str(cliff["far"])
        figure.add_scatter(
            x=[where[end] for end in ends], y=[heights[end] for end in ends], mode="lines",
            line={"color": VERMILION, "width": 3, "dash": "dash"}, hoverinfo="skip", name="cliff",
        )  # fmt: skip
    failed = [(v, m) for v, m, p in zip(values, means, points, strict=True) if p["failures"]]
    if failed:
        figure.add_scatter(x=[v for v, _ in failed], y=[m for _, m in failed], mode="markers",
                           marker=marker(FAILED, 11), hoverinfo="skip", name="failed")  # fmt: skip
    figure.update_xaxes(**_axis(one))
    names = [str(point["value"]) for point in one["points"]]
    figure.add_vline(x=names.index(str(one["winner"])) if options else one["winner"],
                     line={"color": INK, "width": 1.2, "dash": "dot"})  # fmt: skip
    for index, point in enumerate(one["points"]):
        if point["reason"]:
            at = index if options else point["value"]
            figure.add_annotation(
                # Where an axis is logarithmic, an annotation alone wants the logarithm.
                x=math.log10(at) if one["scale"] == "log" else at, y=0.5, yref="y domain",
                text="no model", textangle=-90, showarrow=False, font={"size": 11, "color": QUIET},
            )  # fmt: skip
    return figure


def _green(one: StoredTree) -> list[tuple[Any, Any]]:
    """What is safe, in the axis's own terms."""
    if one["scale"] != "options":
        low, high = one["safe"]
        if all(isinstance(point["value"], int) for point in one["points"]):
            # A whole number that alone is safe must be seen, too; beyond its bounds nothing is.
            values = [point["value"] for point in one["points"]]
            low, high = max(low - _HALF, min(values)), min(high + _HALF, max(values))
        return [(low, high)] if low != high else []
    names = [str(point["value"]) for point in one["points"]]
    places = [names.index(str(option)) for option in one["safe"]]
    return [(place - _HALF, place + _HALF) for place in places]


def _axis(one: StoredTree) -> dict[str, Any]:
    values = [point["value"] for point in one["points"]]
    if one["scale"] == "options":
        options = [plain(str(value)) for value in values]
        return {
            "type": "category", "categoryorder": "array", "categoryarray": options,
            "range": [-0.5, len(options) - 0.5], "showgrid": False,
        }  # fmt: skip
    axis: dict[str, Any] = {"nticks": 6}
    if one["scale"] == "log":
        ticks = log_ticks(min(values), max(values))
        axis |= {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
    elif all(isinstance(value, int) for value in values) and max(values) - min(values) <= 8:
        axis |= {"dtick": 1}
    return axis


def _says(tree: StoredTree, responses: list[StoredTree]) -> str:
    closed = [one for one in responses if not all(one["open"])]
    if closed:
        narrow = closed[0]
        text = (
            f"{narrow['name']} leaves the least room: safe is {_safe(narrow)}, "
            f"{share(narrow['width'])} of {_whole(narrow)}."
        )
    else:
        text = "All values that were tried are safe."
    cliffs = [one["name"] for one in responses if one["cliffs"]]
    if cliffs:
        text += f" Cliffs in {listed(cliffs)}."
    else:
        text += f" No cliff in {count(len(responses), 'parameter')}."
    margin = number(tree["margin"])
    text += f" The margin is {margin}, of means over {count(tree['seeds'], 'seed')}."
    if tree["seeds"] == 1:
        text += " With one seed a value, cliffs are told by their size alone, not from noise."
    return text


def _whole(one: StoredTree) -> str:
    return "its options" if one["scale"] == "options" else "its range"


def _points(tree: StoredTree) -> Picture:
    """Each value with its seeds, and those that no model can be built with."""
    rows, broken = [], []
    for one in tree["responses"]:
        for point in one["points"]:
            value = short(point["value"])
            if point["reason"]:
                broken.append(f"{one['name']} {value}")
            rows.append(
                (
                    one["name"],
                    value + (" (winner)" if point["value"] == one["winner"] else ""),
                    number(_mean(point)) if point["scores"] else "",
                    " ".join(number(score) for score in point["scores"]),
                    f"{point['failures']} of {len(point['scores'])}" if point["scores"] else "",
                    f"no model: {anonymous(point['reason'])}" if point["reason"]
                    else "" if point["scores"] else "has not run",
                )
            )  # fmt: skip
    text = f"{share(tree['failures'])} of the runs failed."
    if tree["sd"]:
        text += f" The standard deviation between seeds is {number(tree['sd'])}."
    if broken:
        left = [f"{len(broken) - MOST_NAMED} more"] if len(broken) > MOST_NAMED else []
        text += f" No model can be built with {listed([*broken[:MOST_NAMED], *left])}."
    table = Table(("parameter", "value", "mean", "seeds", "failed", "note"), rows)
    return Picture("Every value that was tried", text, [], table)
