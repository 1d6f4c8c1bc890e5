"""Learning curves: the winner, the file's defaults and the other finalists over their seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from search.config.seeds import REFERENCE
from search.ledger.trial import Trial
from search.report.facts import Facts, Values
from search.report.section import Panel, Picture, Section, Table
from search.report.theme import (
    FAILED,
    FAINT,
    OTHERS,
    RECIPE,
    WINNER,
    Role,
    chart,
    faded,
    marker,
    role_of,
)
from search.report.trials import CONFIGS, SAYS
from search.report.words import count, number, share

FEWEST_POINTS = 3
"""Reports that make a curve."""
MOST_FAINT = 150
"""Curves of the search that are drawn: the best, and others evenly from the rest."""
MOST_POINTS = 60
"""Reports of one faint curve that are drawn."""


def curves(facts: Facts) -> Section | None:
    """Objective against compute, with bands over seeds; None before the first report."""
    column = facts.objective.column
    if not facts.curves.has(column):
        return None
    banded = groups(facts)
    marks = np.array(facts.plan.marks)
    few = len(marks) < FEWEST_POINTS
    figure = chart(440, xaxis_title="share of compute", yaxis_title=column)
    figure.update_xaxes(tickformat=".0%", range=[0, 1.02])
    _faint(figure, facts, column)
    table: list[tuple[str, ...]] = []
    for rank, (name, role, trials) in reversed(list(enumerate(banded))):
        # The winner is drawn last, on top, and stands first in the legend.
        paths = np.array([_path(facts, trial, column, marks) for trial in trials])
        _band(figure, name, role, marks, paths, rank)
        table[:0] = [
            (name, share(float(at)), *_row(values[np.isfinite(values)]))
            for at, values in zip(marks, paths.T, strict=True)
            if np.isfinite(values).any()
        ]
    return Section(
        "curves",
        "Learning curves",
        "Bands reach from the worst to the best seed, lines are the mean; faint lines are the "
        "trials of the search, of one seed each. A cross ends a trial that failed.",
        [
            Picture(
                f"{column} over a training",
                _says(facts, banded, column, marks)
                + (f" {count(len(marks), 'report')} a training make no curve." if few else ""),
                [] if few else [Panel("curves", figure)],
                Table(("trials", "compute", "mean", "worst", "best", "seeds"), table),
            )
        ],
    )


Group = tuple[str, Role, list[Trial]]


def groups(facts: Facts) -> list[Group]:
    """What has a band: name, look and the runs over fresh seeds."""
    if facts.result is None:
        best = facts.best
        return [] if best is None else [(f"best explored, trial {best.id}", WINNER, [best])]
    winner = facts.result.winner
    found: list[Group] = [(f"winner, trial {winner}", WINNER, facts.replicates(winner))]
    reference = facts.replicates(REFERENCE)
    if reference and reference != found[0][2]:
        found.append(("your defaults", RECIPE, reference))
    others = [c.trial for c in facts.result.candidates if c.trial != winner]
    for other in others[: len(OTHERS)]:
        role = role_of(facts.result, other)
        found.append((f"finalist, trial {other}", role, facts.replicates(other)))
    return [group for group in found if any(_has_curve(facts, trial) for trial in group[2])]


def _has_curve(facts: Facts, trial: Trial) -> bool:
    return len(facts.curves.of(trial.id, "progress")) > 0


def _path(facts: Facts, trial: Trial, column: str, marks: Values) -> Values:
    """A trial's values at shares of the budget, `[marks]`; NaN past its end."""
    progress, values = facts.whole(trial.id, "progress"), facts.whole(trial.id, column)
    known = np.isfinite(values)
    if not known.any():
        return np.full(len(marks), np.nan)
    # A report comes at the first step past its mark, so the last mark may lie just before it.
    path = np.interp(marks, progress[known], values[known])
    path[marks > progress[known][-1] + 1e-9] = np.nan
    path[marks < progress[known][0] * (1 - 1e-3) - 0.02] = np.nan
    return path


def _band(
    figure: go.Figure, name: str, role: Role, marks: Values, paths: Values, rank: int
) -> None:
    known = np.isfinite(paths).any(axis=0)
    x, inside = marks[known], paths[:, known]
    low, high = np.nanmin(inside, axis=0), np.nanmax(inside, axis=0)
    if len(paths) > 1:
        figure.add_scatter(
            x=np.concatenate([x, x[::-1]]), y=np.concatenate([high, low[::-1]]),
            fill="toself", fillcolor=faded(role.color, 0.15), line={"width": 0},
            mode="lines", hoverinfo="skip", showlegend=False, legendgroup=name,
        )  # fmt: skip
    figure.add_scatter(
        x=x, y=np.nanmean(inside, axis=0), name=name, legendgroup=name,
        mode="lines+markers", marker=marker(role, 7), legendrank=rank + 1,
        line={"color": role.color, "dash": role.dash, "width": 2.5},
        customdata=np.column_stack([low, high]),
        hovertemplate="%{y:.4g}, seeds %{customdata[0]:.4g} to %{customdata[1]:.4g}"
        f"<extra>{name}</extra>",
    )  # fmt: skip


def _faint(figure: go.Figure, facts: Facts, column: str) -> None:
    searched = [t for t in facts.trials.values() if t.searches]
    drawn = [t for t in searched if _has_curve(facts, t)]
    best = {one.trial.id for one in facts.explored[: MOST_FAINT // 3]}
    rest = [trial for trial in drawn if trial.id not in best]
    stride = max(1, -(-len(rest) // (MOST_FAINT - len(best))))
    kept = [trial for trial in drawn if trial.id in best] + rest[::stride]
    x: list[float | None] = []
    y: list[float | None] = []
    ends: list[tuple[float, float, int]] = []
    for trial in kept:
        progress, values = (facts.curves.of(trial.id, name) for name in ("progress", column))
        step = max(1, -(-len(values) // MOST_POINTS))
        # The last report always counts, whatever the stride.
        picked = sorted({*range(0, len(values), step), len(values) - 1})
        parent = facts.parent(trial.id)
        if parent is not None:
            # A stretch begins where the one ended that it goes on from.
            x.append(facts.curves.last(parent, "progress"))
            y.append(facts.curves.last(parent, column))
        x += [*(float(progress[i]) for i in picked), None]
        y += [*(float(values[i]) if np.isfinite(values[i]) else None for i in picked), None]
        if trial.failed:
            ends.append((float(progress[-1]), float(np.nan_to_num(values[-1])), trial.id))
    name = "search" if len(kept) == len(drawn) else f"search ({len(kept)} of {len(drawn):,} shown)"
    figure.add_scatter(
        x=x, y=y, name=name, mode="lines", hoverinfo="skip",
        line={"color": faded(FAINT, 0.35), "width": 1},
    )  # fmt: skip
    if ends:
        figure.add_scatter(
            x=[end[0] for end in ends], y=[end[1] for end in ends], name="failed",
            mode="markers", marker=marker(FAILED, 8), meta=CONFIGS,
            customdata=[end[2] for end in ends],
            hovertemplate=SAYS + "<br>failed at %{x:.0%}<extra></extra>",
        )  # fmt: skip


def _row(values: Values) -> tuple[str, ...]:
    ends = (number(float(v)) for v in (values.mean(), values.min(), values.max()))
    return (*ends, str(len(values)))


def _says(facts: Facts, banded: Sequence[Group], column: str, marks: Values) -> str:
    objective = facts.objective
    if facts.result is None:
        best = facts.best
        if best is None:
            return "No trial of the search has run to its end yet."
        return (
            f"No winner yet; trial {best.id} of the search ends best, at "
            f"{number(facts.explored[0].score)}, from "
            + ("one seed." if facts.plan.seeds == 1 else f"{facts.plan.seeds} seeds.")
        )
    promise, reference = facts.result.promise, facts.result.reference
    text = (
        f"The winner ends at a mean {column} of {number(promise.mean)} over "
        f"{count(len(promise.scores), 'fresh seed')} ({number(min(promise.scores))} to "
        f"{number(max(promise.scores))}), your defaults at {number(reference.mean)}."
    )
    named = {name: trials for name, _, trials in banded}
    ours = named.get(f"winner, trial {facts.result.winner}")
    theirs = named.get("your defaults")
    if ours and theirs:
        mean = np.nanmean([_path(facts, trial, column, marks) for trial in ours], axis=0)
        merit = np.array([objective.merit(float(value)) for value in mean])
        ahead = np.flatnonzero(merit >= objective.merit(reference.mean))
        if len(ahead) and marks[ahead[0]] < 1:
            text += (
                f" Its mean reaches that of the finished defaults after "
                f"{share(float(marks[ahead[0]]))} of the compute."
            )
    return text
