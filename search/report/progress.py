"""How the search went: every config in the order of drawing, and the best so far."""

from __future__ import annotations

import math
from collections.abc import Sequence

from search.report.association import thin
from search.report.facts import ConfigPoint, Facts
from search.report.section import Mark, Panel, Picture, Section, Table
from search.report.theme import FAILED, FAINT, INK, PLAIN, Role, chart, marker
from search.report.trials import CONFIGS, SAYS
from search.report.winner import mark_winner
from search.report.words import count, drawn, number, share
from search.stats.intervals import share_interval

MOST_POINTS = 120
"""Of a kind; the best, and others evenly from the rest."""
PRUNED = Role(FAINT, "circle-open", "dot")
KINDS: Sequence[tuple[Mark, Role, str]] = (
    ("completed", PLAIN, "ran to the end"),
    ("pruned", PRUNED, "stopped early (score when stopped)"),
    ("failed", FAILED, "failed (at the floor)"),
)


def progress(facts: Facts) -> Section | None:
    """Scores by number of the trial; None where the search has none."""
    points = [point for point in facts.points if math.isfinite(point.score)]
    if not points:
        return None
    figure = chart(360, xaxis_title="trial", yaxis_title=facts.objective.column)
    for kind, role, name in KINDS:
        mine = thin([p for p in points if p.outcome == kind], facts.objective, MOST_POINTS)
        if not mine:
            continue
        figure.add_scatter(
            x=[p.trial for p in mine], y=[p.score for p in mine], mode="markers", name=name,
            marker=marker(role, 8, opacity=0.85), customdata=[p.trial for p in mine],
            meta=CONFIGS, hovertemplate=SAYS + "<br>%{y:.4g}<extra>" + kind + "</extra>",
        )  # fmt: skip
    x, y = _best_so_far(facts, points)
    figure.add_scatter(
        x=x, y=y, mode="lines", name="best so far",
        line={"color": INK, "width": 2, "shape": "hv"}, hoverinfo="skip",
    )  # fmt: skip
    best = facts.best
    if mine := [p for p in points if best is not None and p.trial == best.id]:
        mark_winner(
            figure, facts, [mine[0].trial], [mine[0].score],
            hovertemplate=SAYS + "<br>%{y:.4g}<extra></extra>",
        )  # fmt: skip
    rows = [
        (
            f"trial {p.trial}",
            p.outcome,
            _score(facts, p),
            share(p.share),
            ", ".join(f"{name} {value}" for name, value in drawn(p.params).items()),
        )
        for p in _by_score(facts, points)
    ]
    return Section(
        "search",
        "The search",
        "",
        [
            Picture(
                "Every config, and the best so far",
                _says(facts, points),
                [Panel("search", figure)],
                Table(("config", "ended", facts.objective.column, "of the compute", "drawn"), rows),
            )
        ],
    )


def _score(facts: Facts, point: ConfigPoint) -> str:
    """With the interval that the examples leave, of one that was stopped: few were evaluated."""
    text = number(point.score, 4)
    evaluated = facts.curves.last(point.trial, "evaluated")
    if point.outcome != "pruned" or not math.isfinite(evaluated) or not evaluated:
        return text
    examples = facts.plan.counted(int(evaluated))
    if examples is None:
        return text
    found = share_interval(point.score, examples)
    return f"{text} ({number(found.low)} to {number(found.high)})"


def _by_score(facts: Facts, points: list[ConfigPoint]) -> list[ConfigPoint]:
    kinds: list[str] = [kind for kind, _, _ in KINDS]
    return sorted(
        points,
        key=lambda p: (kinds.index(p.outcome), -facts.objective.merit(p.score), p.trial),
    )


def _best_so_far(facts: Facts, points: list[ConfigPoint]) -> tuple[list[int], list[float]]:
    x: list[int] = []
    y: list[float] = []
    for point in points:
        if point.outcome != "completed":
            continue
        merit = facts.objective.merit
        if not y or merit(point.score) > merit(y[-1]):
            x.append(point.trial)
            y.append(point.score)
    if x and points[-1].trial > x[-1]:
        x.append(points[-1].trial)
        y.append(y[-1])
    return x, y


def _says(facts: Facts, points: list[ConfigPoint]) -> str:
    whole = [p for p in points if p.outcome == "completed"]
    failed = sum(p.outcome == "failed" for p in points)
    stopped = sum(p.outcome == "pruned" for p in points)
    parts = [f"{count(len(whole), 'config')} ran to the end"]
    if stopped:
        parts.append(f"{stopped:,} {'was' if stopped == 1 else 'were'} stopped early")
    if failed:
        parts.append(f"{failed:,} failed ({share(failed / len(points))})")
    text = ", ".join(parts) + "."
    best = facts.explored[0] if facts.explored else None
    after = sum(p.trial > best.trial.id for p in points) if best is not None else 0
    if best is not None and after:
        text += (
            f" The best, trial {best.trial.id}, was followed by {count(after, 'config')} that did "
            "not beat it."
        )
    return text
