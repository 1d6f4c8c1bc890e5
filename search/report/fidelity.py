"""Early stopping: whether trials rank at a rung as they do at the end."""

from __future__ import annotations

from search.analysis.fidelity import Fidelity, measure, run_curves
from search.report.facts import Facts
from search.report.section import Panel, Picture, Section, Table
from search.report.theme import INK, OTHERS, WINNER, chart, marker
from search.report.words import number, plain, share
from search.stats.rank_correlation import Correlation, RankEstimate

MOST_TRIALS = 600
"""Trials that are ranked at a rung, evenly from all; `trm fidelity` ranks more."""


def rungs(facts: Facts) -> Section | None:
    """Rank correlations with the end by rung and column; None where too few reached both."""
    if not facts.plan.stops_early:
        return None
    found = measure(facts.plan, run_curves(facts.plan, facts.book), most=MOST_TRIALS)
    if not found.rungs:
        return None
    figure = chart(360, xaxis_title="share of a run", yaxis_title="rank correlation with the end")
    columns = list(dict.fromkeys(column for rung in found.rungs for column in rung.by))
    rows = []
    for index, column in enumerate(columns):
        role = WINNER if column == found.metric else OTHERS[(index - 1) % len(OTHERS)]
        known = [(rung.share, rung.by[column]) for rung in found.rungs if column in rung.by]
        estimates = [_estimate(correlation) for _, correlation in known]
        name = plain(column) + (" (ranks the trials)" if column == found.metric else "")
        figure.add_scatter(
            # A little apart, so that their bars do not hide each other.
            x=[at + 0.008 * (index - (len(columns) - 1) / 2) for at, _ in known],
            y=[one.value for one in estimates], mode="lines+markers", name=name,
            marker=marker(role, 9), line={"color": role.color, "dash": role.dash, "width": 1.5},
            error_y={
                "type": "data", "symmetric": False, "thickness": 1.2, "width": 3,
                "array": [one.high - one.value for one in estimates],
                "arrayminus": [one.value - one.low for one in estimates],
            },
            hovertemplate="%{y:.2f} at %{x:.0%}<extra>" + plain(column) + "</extra>",
        )  # fmt: skip
        rows += [
            (column, share(at), number(one.spearman.value), number(one.kendall.value),
             number(_estimate(one).value), f"{one.trials:,}", f"{one.stopped:,}", f"{one.known:,}")
            for at, one in known
        ]  # fmt: skip
    figure.add_hline(y=0, line={"color": INK, "width": 1, "dash": "dot"})
    figure.update_xaxes(tickformat=".0%", range=[0, 1])
    figure.update_yaxes(range=[-1.05, 1.05])
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


def _estimate(correlation: Correlation) -> RankEstimate:
    return correlation.corrected or correlation.spearman


def _says(found: Fidelity) -> str:
    if found.warnings:
        return " ".join(f"{line[0].upper()}{line[1:]}." for line in found.warnings)
    parts = [
        f"{number(_estimate(rung.by[found.metric]).value, 2)} at {share(rung.share)} of a run"
        for rung in found.rungs
    ]
    text = f"{found.metric} correlates with the end by {', '.join(parts)}."
    first = found.rungs[0]
    if first.best != found.metric:
        best = number(_estimate(first.by[first.best]).value, 2)
        text += f" {first.best} ranks best at the first rung ({best})."
    return text
