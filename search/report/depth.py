"""Depth: what more recursion than in training does, and where the recursion settles."""

from __future__ import annotations

import math

import numpy as np

from search.engine.attempts.collapse import thresholds
from search.ledger.trial import Trial
from search.report.curves import groups
from search.report.facts import Facts, Values
from search.report.section import Panel, Picture, Section, Table
from search.report.theme import FAINT, INK, chart, faded, marker
from search.report.words import listed, number

BEYOND = {2: "exact_accuracy_2x", 4: "exact_accuracy_4x", 8: "exact_accuracy_8x"}
LOST = "depth_drop_x16"
MOST_FAINT = 80
FEWEST_POINTS = 3
"""Reports that make a trace."""
INSIDE = {
    "spectral_radius": ("spectral radius", 1.0),
    "late_residual": ("residual at the deepest step", None),
    "settled": ("share of examples that settle", None),
}
"""Columns of the state itself: their name, and the value at which they turn."""


def depth(facts: Facts) -> Section | None:
    """Accuracy beyond the trained depth, and the state over training; None where not measured."""
    pictures = [p for p in (_extrapolation(facts), _state(facts)) if p is not None]
    if not pictures:
        return None
    return Section(
        "depth",
        "Depth",
        "A stable recursion may go on beyond the steps that it was trained with and lose nothing. "
        "Measured on `thought.examples` puzzles up to 16 times deeper, else on the few examples of "
        "the probes.",
        pictures,
    )


def at_depths(facts: Facts, trial: Trial) -> dict[int, float]:
    """Exact accuracy by multiple of the trained depth; what is known.

    Where a run was evaluated at 16 times it, on those examples, else on the probe's.
    """
    deep, lost = (_last(facts.curves.of(trial.id, name)) for name in ("accuracy_x16", LOST))
    if math.isfinite(deep) and math.isfinite(lost):
        middle = {4: _last(facts.curves.of(trial.id, "accuracy_x4"))}
        return {1: deep + lost, **{n: v for n, v in middle.items() if math.isfinite(v)}, 16: deep}
    found = {}
    for times, column in BEYOND.items():
        value = _last(facts.curves.of(trial.id, column))
        if math.isfinite(value):
            found[times] = value
    beyond = thresholds(trial.config).beyond
    drop = _last(facts.curves.of(trial.id, "depth_drop"))
    if beyond in found and math.isfinite(drop):
        found[1] = found[beyond] + drop
    return dict(sorted(found.items()))


def _last(values: Values) -> float:
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else math.nan


def _extrapolation(facts: Facts) -> Picture | None:
    if not any(facts.curves.has(column) for column in (*BEYOND.values(), LOST)):
        return None
    figure = chart(380, xaxis_title="supervision steps, in multiples of the trained depth",
                   yaxis_title="exact accuracy")  # fmt: skip
    searched = [t for t in facts.of_stage("explore") if t.completed]
    x: list[float | None] = []
    y: list[float | None] = []
    for trial in searched[:: max(1, -(-len(searched) // MOST_FAINT))]:
        path = at_depths(facts, trial)
        x += [*path, None]
        y += [*path.values(), None]
    if any(value is not None for value in x):
        figure.add_scatter(
            x=x, y=y, mode="lines", name="search", hoverinfo="skip",
            line={"color": faded(FAINT, 0.35), "width": 1},
        )  # fmt: skip
    rows: list[tuple[str, ...]] = []
    told: list[str] = []
    for name, role, trials in groups(facts):
        paths = [path for path in (at_depths(facts, t) for t in trials) if path]
        times = sorted(set.intersection(*map(set, paths))) if paths else []
        if not times:
            continue
        means = [float(np.mean([path[n] for path in paths])) for n in times]
        figure.add_scatter(
            x=times, y=means, mode="lines+markers", name=name, marker=marker(role, 9),
            line={"color": role.color, "dash": role.dash, "width": 2.5},
            hovertemplate="%{y:.3f} at %{x}x<extra>" + name + "</extra>",
        )  # fmt: skip
        rows += [
            (name, f"{n}x", number(mean), str(len(paths)))
            for n, mean in zip(times, means, strict=True)
        ]
        if times[0] == 1 and len(times) > 1 and not name.startswith("finalist"):
            told.append(_change(name, times[-1], means[0], means[-1]))
    if not figure.data:
        return None
    ticks = [1, *BEYOND, 16]
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{n}x" for n in ticks])
    says = f"{listed(told)[:1].upper()}{listed(told)[1:]}." if told else "No finalist was probed."
    table = Table(("trials", "depth", "mean exact accuracy", "seeds"), rows)
    return Picture("Accuracy beyond the trained depth", says, [Panel("depth", figure)], table)


def _change(name: str, times: int, trained: float, deep: float) -> str:
    change, who = deep - trained, _who(name)
    s = "" if who == name else "s"
    if not trained and not deep:
        return f"{who} solve{s} none of them at any depth"
    if abs(change) < 0.005:
        return f"{who} keep{s} the accuracy at {times}x"
    verb = "gain" if change > 0 else "lose"
    return f"{who} {verb}{s} {number(abs(change))} at {times}x"


def _who(name: str) -> str:
    """A group in a sentence.

    >>> _who("winner, trial 7"), _who("your defaults")
    ('the winner', 'your defaults')
    """
    return name if name == "your defaults" else f"the {name.partition(',')[0]}"


def _state(facts: Facts) -> Picture | None:
    panels: list[Panel] = []
    ends: list[str] = []
    for column, (title, turn) in INSIDE.items():
        if not facts.curves.has(column):
            continue
        figure = chart(280, showlegend=not panels, margin={"l": 48, "r": 10, "t": 8, "b": 40})
        for name, role, trials in groups(facts):
            lasts: list[float] = []
            for index, trial in enumerate(trials):
                values = facts.curves.of(trial.id, column)
                known = np.isfinite(values)
                if known.sum() < FEWEST_POINTS:
                    continue
                lasts.append(float(values[known][-1]))
                figure.add_scatter(
                    x=facts.curves.of(trial.id, "progress")[known], y=values[known],
                    mode="lines+markers", name=name, legendgroup=name, showlegend=not index,
                    marker=marker(role, 6), line={"color": role.color, "dash": role.dash,
                                                  "width": 1.5},
                    hovertemplate="%{y:.3g} at %{x:.0%}<extra>" + name + "</extra>",
                )  # fmt: skip
            if lasts and column == "spectral_radius" and not name.startswith("finalist"):
                ends.append(f"{number(float(np.mean(lasts)), 2)} in {_who(name)}")
        if not figure.data:
            continue
        if turn is not None:
            figure.add_hline(y=turn, line={"color": INK, "width": 1, "dash": "dot"})
        figure.update_xaxes(tickformat=".0%", range=[0, 1.03])
        panels.append(Panel(f"state-{len(panels) + 1}", figure, title))
    if not panels:
        return None
    says = (
        "Below a spectral radius of 1 the recursion draws nearby states together; above it drives "
        "them apart."
    )
    if ends:
        says += f" It ends at {listed(ends)}."
    return Picture("The recursion over training", says, panels, wide=True)
