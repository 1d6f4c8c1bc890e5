"""Halting: what accuracy costs in supervision steps, where every example may stop early."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go

from search.config.seeds import REFERENCE
from search.ledger.trial import Trial
from search.report.curves import groups
from search.report.facts import Facts
from search.report.section import Panel, Picture, Section, Table
from search.report.theme import FAINT, INK, WINNER, Role, chart, marker
from search.report.trials import CONFIGS, SAYS
from search.report.winner import mark_winner, winner_name
from search.report.words import number, share

STEPS, EARLY, FULL = "mean_steps", "early_exact_accuracy", "exact_accuracy"
MOST_POINTS = 400
_SEARCH = Role(FAINT, "circle", "solid")


def halting(facts: Facts) -> Section | None:
    """Accuracy when examples stop at their first halt, against the steps that they take."""
    if not (facts.curves.has(STEPS) and facts.curves.has(EARLY)):
        return None
    ends = {
        trial.id: tuple(facts.curves.last(trial.id, name) for name in (STEPS, EARLY, FULL))
        for trial in facts.trials.values()
        if trial.completed
    }
    ends = {number: end for number, end in ends.items() if all(map(math.isfinite, end))}
    if not ends:
        return None
    figure = chart(420, xaxis_title="mean supervision steps until the first halt",
                   yaxis_title="exact accuracy")  # fmt: skip
    searched = [t for t in facts.trials.values() if t.id in ends and t.explores]
    searched = searched[:: max(1, -(-len(searched) // MOST_POINTS))]
    figure.add_scatter(
        x=[ends[t.id][0] for t in searched], y=[ends[t.id][1] for t in searched],
        mode="markers", name="search, early stop", marker=marker(_SEARCH, 7, opacity=0.6),
        customdata=[[t.id, ends[t.id][2]] for t in searched], meta=CONFIGS,
        hovertemplate=SAYS + "<br>%{y:.3f} at %{x:.2f} steps, "
        "%{customdata[1]:.3f} at full depth<extra></extra>",
    )  # fmt: skip
    _frontier(figure, list(ends.values()))
    table = []
    for name, role, trials in groups(facts):
        mine = [t for t in trials if t.id in ends]
        if not mine:
            continue
        steps, early, full = np.mean([ends[t.id] for t in mine], axis=0)
        most = _most_steps(mine[0])
        figure.add_scatter(
            x=[ends[t.id][0] for t in mine], y=[ends[t.id][1] for t in mine], mode="markers",
            name=name, legendgroup=name, marker=marker(role, 10),
            customdata=[t.id for t in mine], meta=CONFIGS,
            hovertemplate=SAYS + "<br>%{y:.3f} at %{x:.2f} steps<extra>one seed</extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=[steps, most], y=[early, full], mode="lines+markers", legendgroup=name,
            line={"color": role.color, "dash": role.dash, "width": 1.5}, showlegend=False,
            marker=marker(role, 10, opacity=[0.0, 1.0]), customdata=["mean", "all steps"],
            hovertemplate="%{y:.3f} at %{x:.2f} steps<extra>%{customdata}</extra>",
        )  # fmt: skip
        if role is WINNER:
            mark_winner(
                figure, facts, [float(steps)], [float(early)],
                name=f"{winner_name(facts)}: its mean",
                hovertemplate=SAYS + "<br>mean %{y:.3f} at %{x:.2f} steps<extra></extra>",
            )  # fmt: skip
        table.append((name, number(steps, 2), number(early), str(most), number(full),
                      number(full - early)))  # fmt: skip
    return Section(
        "halting",
        "Halting",
        "Evaluation runs all supervision steps; a model whose halting is good could stop each "
        "example at its first halt and lose nothing. Lines lead from there to full depth.",
        [
            Picture(
                "Accuracy against steps",
                _says(facts, ends),
                [Panel("halting", figure)],
                Table(("trials", "mean steps", "accuracy there", "all steps", "accuracy there",
                       "cost of stopping"), table),
            )
        ],
    )  # fmt: skip


def _most_steps(trial: Trial) -> int:
    return int(trial.config["model"].get("halt_max_steps", 16))


def _frontier(figure: go.Figure, ends: list[tuple[float, ...]]) -> None:
    """The best accuracy that any run has with so many steps."""
    best = -math.inf
    path = []
    for steps, early, _ in sorted(ends, key=lambda end: (end[0], -end[1])):
        if early > best:
            best = early
            path.append((steps, early))
    if len(path) > 1:
        x, y = zip(*path, strict=True)
        figure.add_scatter(
            x=x, y=y, mode="lines", name="best at that cost", hoverinfo="skip",
            line={"color": INK, "width": 1.2, "shape": "hv", "dash": "dot"},
        )  # fmt: skip


def _says(facts: Facts, ends: dict[int, tuple[float, ...]]) -> str:
    best = facts.best
    if best is None:
        return "No winner yet."
    runs = facts.replicates(best.id) if facts.result else [best]
    mine = [ends[t.id] for t in runs if t.id in ends]
    who = "The winner" if facts.result else f"Trial {best.id}"
    if not mine:
        return f"No trial of {who.lower()} has ended without failing."
    steps, early, full = np.mean(mine, axis=0)
    most = _most_steps(best)
    if most < 2:
        return f"{who} has one supervision step: nothing to halt."
    saved = 1 - steps / most
    loss = full - early
    text = (
        f"{who} halts after {number(steps, 2)} of {most} steps on average. Stopping there saves "
        f"{share(saved)} of the steps and "
        + (f"costs {number(loss)} exact accuracy." if loss > 0.0005 else "costs no accuracy.")
    )
    theirs = [ends[t.id] for t in facts.replicates(REFERENCE) if t.id in ends and t not in runs]
    if theirs and facts.result:
        reference = np.mean(theirs, axis=0)
        lost = reference[2] - reference[1]
        text += (
            f" Your defaults halt after {number(reference[0], 2)} steps and lose "
            f"{number(lost) if lost > 0.0005 else 'nothing'}."
        )
    return text
