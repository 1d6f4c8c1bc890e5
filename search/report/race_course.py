"""The course of the race: when each finalist was out of it, and why."""

from __future__ import annotations

import math

import plotly.graph_objects as go

from search.report.facts import Facts
from search.report.section import Panel, Picture, Table
from search.report.theme import INK, chart, marker, role_of
from search.report.trials import CONFIGS, SAYS
from search.report.winner import winner_name
from search.report.words import count, listed, number
from search.stability.claims import claim
from search.stability.confirm_race import rules
from search.stability.result import Result
from search.stats.race_rules import Exit, Why, exits

_ROW = 30
MOST_SHOWN = 40
MOST_TOLD = 3
_ENDS: tuple[tuple[Why, str, str], ...] = (
    ("behind", claim("out_behind"), "x-thin"),
    ("constraint", "out: breaks a constraint", "square-open"),
    ("open", "in to the end", "circle-open"),
)
_WORDS = {"behind": "behind", "constraint": "breaks a constraint", "open": "in to the end"}


def course(facts: Facts, result: Result) -> Picture | None:
    """A line a finalist, as long as it was in the race; None where all had the same seeds."""
    race = result.race
    if race is None or not race.racing or len(result.candidates) < 2:
        return None
    known = {candidate.trial for candidate in result.candidates}
    runs = [
        (trial.candidate, facts.objective.merit(trial.score))
        for trial in sorted(facts.of_stage("confirm"), key=lambda trial: trial.id)
        if trial.candidate in known and trial.score is not None
    ]
    granted = rules(facts.plan, len(known), facts.trials)
    barred = [candidate.trial for candidate in result.candidates if not candidate.feasible]
    found = exits(runs, granted, examples_of(facts), barred)
    if {one.candidate for one in found} != known:
        return None
    table = Table(
        ("config", "out after", "why", "its seeds then", "its mean then", "leader then",
         "leader's mean", "seeds in all"),
        [_row(facts, result, one, runs) for one in found],
    )  # fmt: skip
    shown = found[-MOST_SHOWN:]
    return Picture(
        "Who left the race when",
        _says(facts, found, len(runs)),
        [Panel("race-course", _figure(facts, result, shown, runs))],
        table,
    )


def examples_of(facts: Facts) -> int | None:
    """How many examples a score is a share of; None where it is none or that is unknown."""
    for trial in facts.of_stage("confirm"):
        evaluated = facts.curves.last(trial.id, "evaluated")
        if math.isfinite(evaluated) and evaluated > 0:
            return facts.plan.counted(int(evaluated))
    return facts.plan.counted(facts.plan.examples)


def _figure(
    facts: Facts, result: Result, shown: list[Exit], runs: list[tuple[int, float]]
) -> go.Figure:
    figure = chart(150 + _ROW * len(shown), xaxis_title="trials of the race, of all finalists")
    for one in shown:
        role = role_of(result, one.candidate)
        own = [index for index, (candidate, _) in enumerate(runs, 1) if candidate == one.candidate]
        figure.add_scatter(
            x=[1, one.after], y=[_name(result, one)] * 2, mode="lines", showlegend=False,
            line={"color": role.color, "width": 2, "dash": role.dash}, hoverinfo="skip",
        )  # fmt: skip
        figure.add_scatter(
            x=own, y=[_name(result, one)] * len(own), mode="markers",
            name=winner_name(facts), showlegend=one.candidate == result.winner,
            marker=marker(role, 7),
            meta=CONFIGS,
            customdata=[[candidate, number(merit if result.direction == "maximize" else -merit)]
                        for candidate, merit in runs if candidate == one.candidate],
            hovertemplate=SAYS + "<br>the race's run %{x}: %{customdata[1]}<extra></extra>",
        )  # fmt: skip
    for why, name, symbol in _ENDS:
        mine = [one for one in shown if one.why == why]
        if mine:
            figure.add_scatter(
                x=[one.after for one in mine], y=[_name(result, one) for one in mine],
                mode="markers", name=name,
                marker={"symbol": symbol, "size": 15, "color": INK,
                        "line": {"width": 2, "color": INK}},
                hovertemplate="%{y} " + name + ", at the race's trial %{x}<extra></extra>",
            )  # fmt: skip
    figure.update_xaxes(range=[0, len(runs) + 1], nticks=8)
    figure.update_yaxes(
        categoryorder="array", categoryarray=[_name(result, one) for one in shown], showgrid=False
    )
    return figure


def _name(result: Result, one: Exit) -> str:
    won = " (winner)" if one.candidate == result.winner else ""
    return f"trial {one.candidate}{won}"


def _row(facts: Facts, result: Result, one: Exit, runs: list[tuple[int, float]]) -> tuple[str, ...]:
    merit = facts.objective.merit
    return (
        _name(result, one),
        count(one.after, "trial") if one.why != "open" else "",
        _WORDS[one.why],
        str(one.seeds),
        number(merit(one.merit)),
        f"trial {one.leader}",
        number(merit(one.lead)),
        str(sum(candidate == one.candidate for candidate, _ in runs)),
    )


def _says(facts: Facts, found: list[Exit], runs: int) -> str:
    out = [one for one in found if one.why == "behind"]
    barred = [one for one in found if one.why == "constraint"]
    left = len(found) - len(out) - len(barred)
    text = (
        f"Of {count(len(found), 'finalist')} {left} {'was' if left == 1 else 'were'} in to the end "
        f"of {count(runs, 'trial')}."
    )
    merit = facts.objective.merit
    for after in sorted({one.after for one in out})[:MOST_TOLD]:
        mine = [one for one in out if one.after == after]
        names = listed([f"trial {one.candidate}" for one in mine[:MOST_TOLD]])
        more = f" and {len(mine) - MOST_TOLD} more" if len(mine) > MOST_TOLD else ""
        text += (
            f" After {count(after, 'trial')} {names}{more} {'was' if len(mine) == 1 else 'were'} "
            f"out: {number(merit(max(one.merit for one in mine)))} at best, against "
            f"{number(merit(mine[0].lead))} of trial {mine[0].leader}."
        )
    if barred:
        names = listed([f"trial {one.candidate}" for one in barred[:MOST_TOLD]])
        more = f" and {len(barred) - MOST_TOLD} more" if len(barred) > MOST_TOLD else ""
        text += f" Out for a broken constraint: {names}{more}."
    return text
