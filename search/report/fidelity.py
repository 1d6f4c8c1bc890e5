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
        drawn = [(at, one.best_estimate) for at, one in known]
        defined = [(at, estimate) for at, estimate in drawn if estimate is not None]
        name = plain(column) + (" (ranks the trials)" if column == found.metric else "")
        figure.add_scatter(
            # A little apart, so that their bars do not hide each other.
            x=[at + 0.008 * (index - (len(columns) - 1) / 2) for at, _ in defined],
            y=[one.value for _, one in defined], mode="lines+markers", name=name,
            marker=marker(role, 9), line={"color": role.color, "dash": role.dash, "width": 1.5},
            error_y={
                "type": "data", "symmetric": False, "thickness": 1.2, "width": 3,
                "array": [one.high - one.value for _, one in defined],
                "arrayminus": [one.value - one.low for _, one in defined],
            },
            hovertemplate="%{y:.2f} at %{x:.0%}<extra>" + plain(column) + "</extra>",
        )  # fmt: skip
        rows += [
            (column, share(at), _value(one.spearman), _value(one.kendall),
             _value(one.best_estimate), f"{one.trials:,}", f"{one.stopped:,}", f"{one.known:,}")
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
