"""Several objectives: the configs of the search, and those that none other beats in all of them."""

from __future__ import annotations

import math
from itertools import combinations

import plotly.graph_objects as go

from search.explore.candidates import Explored, pareto_front
from search.report.facts import Facts
from search.report.section import Panel, Picture, Section, Table
from search.report.theme import FAINT, INK, Role, chart, marker
from search.report.trials import CONFIGS, SAYS
from search.report.winner import mark_winner
from search.report.words import better, count, number, plain

MOST_PAIRS = 3
MOST_POINTS = 600
_DOMINATED, _BROKEN = Role(FAINT, "circle", "solid"), Role(FAINT, "circle-open", "dot")
_FRONT = Role(INK, "diamond", "solid")


def trade(facts: Facts) -> Section | None:
    """A figure a pair of objectives; None with one objective or before a config has ended."""
    objectives = facts.plan.objectives
    if len(objectives) == 1 or not facts.explored:
        return None
    front = pareto_front(facts.plan, facts.explored)
    panels = [
        _panel(facts, front, first.column, second.column, index)
        for index, (first, second) in enumerate(list(combinations(objectives, 2))[:MOST_PAIRS])
    ]
    confirmed = facts.result.front if facts.result else []
    rows = [
        (
            f"trial {one.trial.id}",
            *(number(one.values[o.column], 4) for o in objectives),
            "confirmed" if one.trial.id in confirmed else "of the search",
        )
        for one in front
    ]
    words = ", ".join(f"{o.column} ({better(o)})" for o in objectives)
    return Section(
        "front",
        "Several objectives",
        f"The first decides who wins: {words}.",
        [
            Picture(
                "The Pareto front",
                _says(facts, front, confirmed),
                panels,
                Table(("config", *(o.column for o in objectives), "front"), rows),
                wide=True,
            )
        ],
    )


def _panel(facts: Facts, front: list[Explored], first: str, second: str, index: int) -> Panel:
    figure = chart(340, xaxis_title=plain(second), yaxis_title=plain(first))
    on_front = {one.trial.id for one in front}
    stride = max(1, -(-len(facts.explored) // MOST_POINTS))
    for feasible, role, name in (
        (True, _DOMINATED, "dominated"), (False, _BROKEN, "breaks a constraint"),
    ):  # fmt: skip
        mine = [
            one for one in facts.explored[::stride]
            if one.feasible is feasible and one.trial.id not in on_front
        ]  # fmt: skip
        if mine:
            _points(figure, mine, first, second, name, role, 7)
    path = sorted(front, key=lambda one: one.values[second])
    _points(figure, path, first, second, "front", _FRONT, 10)
    best = facts.best
    mine = [one for one in facts.explored if best is not None and one.trial.id == best.id]
    if mine:
        at = mine[0].values
        mark_winner(
            figure, facts, [at[second]], [at[first]],
            hovertemplate=SAYS + "<br>%{y:.4g} at %{x:.4g}<extra></extra>",
        )  # fmt: skip
    return Panel(f"front-{index}", figure, f"{first} and {second}")


def _points(
    figure: go.Figure,
    ones: list[Explored],
    first: str,
    second: str,
    name: str,
    role: Role,
    size: int,
) -> None:
    known = [one for one in ones if all(math.isfinite(one.values[c]) for c in (first, second))]
    figure.add_scatter(
        x=[one.values[second] for one in known], y=[one.values[first] for one in known],
        mode="markers", name=name, marker=marker(role, size, opacity=0.85),
        customdata=[one.trial.id for one in known], meta=CONFIGS,
        hovertemplate=SAYS + "<br>%{y:.4g} at %{x:.4g}<extra></extra>",
    )  # fmt: skip


def _says(facts: Facts, front: list[Explored], confirmed: list[int]) -> str:
    text = (
        f"{count(len(front), 'config')} of {len(facts.explored):,} "
        f"{'is' if len(front) == 1 else 'are'} dominated by no other."
    )
    if confirmed:
        text += f" Confirmed over fresh seeds: trials {', '.join(map(str, confirmed))}."
    broken = sum(not one.feasible for one in facts.explored)
    if broken:
        text += f" {count(broken, 'config')} cannot win, for a constraint is broken."
    return text
