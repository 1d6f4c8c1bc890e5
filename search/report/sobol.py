"""Sobol's indices: what share of the variance each parameter causes, alone and in all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.report.section import Panel, Picture, Table
from search.report.theme import BLUE, INK, ORANGE, chart
from search.report.words import count, folded, number, share
from search.stats.sobol import nothing_varies

StoredTree = Mapping[str, Any]
_ROW = 40
_KINDS = (("total", "with all interactions", ORANGE, "/"), ("first", "alone", BLUE, ""))


def sobol(tree: StoredTree) -> list[Picture]:
    """The indices of the score, and of failing if any run failed."""
    objective, rows = tree["objective"], tree["rows"]
    if not tree["score"]:
        return [
            Picture(
                "Sobol indices",
                f"There are none: {count(rows, 'row')} of the design "
                f"{'has' if rows == 1 else 'have'} scores in every config, and two are needed. "
                "A narrower space has more configs that a model can be built from.",
                [],
            )
        ]
    base = f"{count(rows, 'row')} of the design, {count(tree['seeds'], 'seed')} a config."
    pictures = [_indices(f"Sobol indices of {objective}", "sobol", objective, tree["score"], base)]
    if tree["failure"]:
        failed = f"{base} {share(tree['failures'])} of the runs failed."
        pictures.append(
            _indices("Sobol indices of failing", "sobol-failing", "whether a run fails",
                     tree["failure"], failed)
        )  # fmt: skip
    return pictures


def _indices(title: str, panel: str, what: str, by_name: StoredTree, base: str) -> Picture:
    if nothing_varies(by_name.values()):
        return Picture(
            title,
            f"They are undefined: configs differ in {what} by no more than seeds do. From {base}",
            [],
        )
    names = sorted(by_name, key=lambda name: by_name[name]["total"]["value"])
    figure = chart(110 + _ROW * len(names), barmode="group", xaxis_title="share of the variance")
    for key, name, color, shape in _KINDS:
        found = [by_name[n][key] for n in names]
        figure.add_bar(
            y=[folded(n) for n in names], x=[one["value"] for one in found], name=name,
            orientation="h", hovertemplate="%{y}: %{x:.0%}<extra>" + name + "</extra>",
            marker={"color": color, "pattern": {"shape": shape}},
            error_x={
                "type": "data", "symmetric": False, "thickness": 1.2, "width": 3, "color": INK,
                # A bootstrap interval need not hold the estimate.
                "array": [max(one["high"] - one["value"], 0.0) for one in found],
                "arrayminus": [max(one["value"] - one["low"], 0.0) for one in found],
            },
        )  # fmt: skip
    figure.update_xaxes(tickformat=".0%", nticks=6)
    figure.update_yaxes(showgrid=False)
    figure.update_layout(legend_traceorder="reversed")
    rows = [
        (name, *(cell for key in ("first", "total") for cell in _cells(by_name[name][key])))
        for name in names[::-1]
    ]
    return Picture(
        title,
        f"{_says(names[-1], by_name[names[-1]], what)} From {base}",
        [Panel(panel, figure)],
        Table(("parameter", "alone", "interval", "with interactions", "interval"), rows),
    )


def _cells(one: StoredTree) -> tuple[str, str]:
    return number(one["value"]), f"{number(one['low'])} to {number(one['high'])}"


def _says(name: str, best: StoredTree, what: str) -> str:
    """The strongest parameter; an estimate may lie outside of 0 to 1, a share may not."""
    if best["total"]["low"] <= 0:
        return f"No parameter's share of the variance of {what} is told from 0."
    total, alone = best["total"], best["first"]
    return (
        f"{name} causes {_share(total['value'])} of the variance of {what} with its interactions "
        f"({_share(total['low'])} to {_share(total['high'])}), {_share(alone['value'])} alone."
    )


def _share(value: float) -> str:
    return share(min(max(value, 0.0), 1.0))
