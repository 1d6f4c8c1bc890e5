"""Early stopping: whether trials rank at a rung as they do at the end."""

from __future__ import annotations

import plotly.graph_objects as go

from search.analysis.fidelity import Fidelity, Rung, measure, run_curves
from search.report.facts import Facts
from search.report.section import Panel, Picture, Section, Table
from search.report.theme import INK, OTHERS, PLAIN, chart, marker
from search.report.words import number, plain, share
from search.stats.rank_correlation import Correlation, RankEstimate

_ROW = 26
"""Pixels of one column at one rung."""
MOST_TRIALS = 600
"""Trials that are ranked at a rung, evenly from all; `trm fidelity` ranks more."""


def rungs(facts: Facts) -> Section | None:
    """Rank correlations with the end by rung and column; None where too few reached both."""
    if not facts.plan.stops_early:
        return None
    found = measure(facts.plan, run_curves(facts.plan, facts.book), most=MOST_TRIALS)
    if not found.rungs:
        return None
    columns = list(dict.fromkeys(column for rung in found.rungs for column in rung.by))
    figure = chart(
        120 + _ROW * sum(len(rung.by) for rung in found.rungs),
        xaxis_title="rank correlation with the end",
    )
    order, rows = [], []
    for rung in found.rungs:
        order += [_label(rung, column) for column in columns if column in rung.by]
        rows += [
            (column, share(rung.share), _value(one.spearman), _value(one.kendall),
             _value(one.best_estimate), f"{one.trials:,}", f"{one.stopped:,}", f"{one.known:,}")
            for column, one in rung.by.items()
        ]  # fmt: skip
    for index, column in enumerate(columns):
        _column(figure, found, column, index)
    figure.add_vline(x=0, line={"color": INK, "width": 1, "dash": "dot"})
    figure.update_xaxes(range=[-1.05, 1.05])
    figure.update_yaxes(categoryorder="array", categoryarray=order[::-1], showgrid=False)
    return Section(
        "fidelity",
        "Early stopping",
        "Stopping early is right as far as trials rank at a rung as they do at the end. "
        + ("Only trials that were not stopped have an end: the figures are corrected for that "
           "selection. " if found.stops else "")
        + f"Bars are {found.confidence:.0%} intervals."
        + (f" {found.thinning}" if found.thinning else ""),
        [
            Picture(
                "Rank correlation of a rung with the end",
                _says(found),
                [Panel("fidelity", figure)],
                Table(("column", "rung", "Spearman", "Kendall", "corrected", "trials", "stopped",
                       "of"), rows),
            )
        ],
    )  # fmt: skip


def _label(rung: Rung, column: str) -> str:
    return f"{share(rung.share)}  {plain(column)}"


def _column(figure: go.Figure, found: Fidelity, column: str, index: int) -> None:
    """A bar a rung, for one column."""
    role = PLAIN if column == found.metric else OTHERS[(index - 1) % len(OTHERS)]
    known = [(rung, rung.by[column].best_estimate) for rung in found.rungs if column in rung.by]
    defined = [(_label(rung, column), one) for rung, one in known if one is not None]
    figure.add_scatter(
        y=[label for label, _ in defined], x=[one.value for _, one in defined], mode="markers",
        name=plain(column) + (" (ranks the trials)" if column == found.metric else ""),
        marker=marker(role, 10),
        error_x={
            "type": "data", "symmetric": False, "thickness": 1.8, "width": 4, "color": role.color,
            "array": [one.high - one.value for _, one in defined],
            "arrayminus": [one.value - one.low for _, one in defined],
        },
        customdata=[[one.low, one.high] for _, one in defined],
        hovertemplate="%{y}: %{x:.2f} (%{customdata[0]:.2f} to %{customdata[1]:.2f})"
        "<extra></extra>",
    )  # fmt: skip


def _value(estimate: RankEstimate | None) -> str:
    return "undefined" if estimate is None else number(estimate.value)


def _words(correlation: Correlation) -> str:
    """The correlation, or why there is none."""
    found = correlation.best_estimate
    return f"undefined: {correlation.undefined}" if found is None else number(found.value, 2)


def _says(found: Fidelity) -> str:
    if found.warnings:
        return " ".join(f"{line[0].upper()}{line[1:]}." for line in found.warnings)
    by = [(rung.share, rung.by[found.metric]) for rung in found.rungs]
    parts = [
        f"{number(one.best_estimate.value, 2)} at {share(at)} of a run"
        for at, one in by
        if one.best_estimate is not None
    ]
    text = f"{found.metric} correlates with the end by {', '.join(parts)}." if parts else ""
    without = [f"{share(at)} of a run ({one.undefined})" for at, one in by if not one.best_estimate]
    if without:
        text += f" Its correlation is undefined at {', '.join(without)}."
    first = found.rungs[0]
    if first.best not in ("", found.metric):
        text += f" {first.best} ranks best at the first rung ({_words(first.by[first.best])})."
    return text.strip()
