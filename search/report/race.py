"""The race: each finalist over the confirm seeds, and what is still open between them."""

from __future__ import annotations

from search.analysis.explained import at_once
from search.report.facts import Facts
from search.report.race_course import course
from search.report.section import Panel, Picture, Section, Table
from search.report.theme import INK, RECIPE, chart, marker, role_of
from search.report.trials import CONFIGS, SAYS
from search.report.winner import winner_name
from search.report.words import better, count, number, share
from search.stability.claims import claim, odds
from search.stability.result import Finalist, Result
from search.stability.standing import lead_words

_ROW = 44
"""Pixels of one finalist."""
MOST_SHOWN = 40


def race(facts: Facts) -> Section | None:
    """One row a finalist: its seeds, their mean, its robust score and what the search saw."""
    result = facts.result
    if result is None or not result.candidates:
        return None
    shown = result.candidates[:MOST_SHOWN]
    names = [_name(candidate, result) for candidate in shown]
    figure = chart(
        130 + _ROW * (len(shown) + 1),
        xaxis_title=f"{result.objective} ({better(facts.objective)})",
    )
    for candidate, name in zip(shown, names, strict=True):
        role = role_of(result, candidate.trial)
        ends = candidate.mean_low, candidate.mean_high
        known = [end for end in ends if end is not None] or [candidate.robust, candidate.mean]
        figure.add_scatter(
            x=known, y=[name] * len(known), mode="lines",
            line={"color": role.color, "width": 3}, hoverinfo="skip", showlegend=False,
        )  # fmt: skip
        figure.add_scatter(
            x=candidate.scores, y=[name] * len(candidate.scores), mode="markers",
            marker=marker(role, 11, opacity=0.8),
            name=winner_name(facts), showlegend=candidate.trial == result.winner,
            customdata=[candidate.trial] * len(candidate.scores), meta=CONFIGS,
            hovertemplate=SAYS + "<br>%{x:.4g}<extra>one seed</extra>",
        )  # fmt: skip
    if result.reference.scores:
        figure.add_scatter(
            x=result.reference.scores, y=["your defaults"] * len(result.reference.scores),
            mode="markers", marker=marker(RECIPE, 11, opacity=0.8), showlegend=False,
            hovertemplate="%{x:.4g}<extra>one seed</extra>",
        )  # fmt: skip
    for what, symbol, xs in (
        ("mean", "line-ns", [c.mean for c in shown]),
        ("robust score", "arrow-right", [c.robust for c in shown]),
        ("in the search", "diamond-open", [c.explored for c in shown]),
    ):
        figure.add_scatter(
            x=xs, y=names, mode="markers", name=what,
            marker={"symbol": symbol, "size": 13, "color": INK, "line": {"width": 2, "color": INK}},
            hovertemplate=f"{what} %{{x:.4g}}<extra></extra>",
        )  # fmt: skip
    order = [*names, *(["your defaults"] if result.reference.scores else [])]
    figure.update_yaxes(categoryorder="array", categoryarray=order[::-1], showgrid=False)
    table = Table(
        (
            "config",
            "robust score",
            "mean",
            "interval of the mean",
            "middle half",
            "best with",
            "seeds",
            "failed",
            "in the search",
            "lost at 16x depth",
            "constraints",
        ),
        [
            (
                name,
                number(c.robust),
                number(c.mean),
                _interval(c.mean_low, c.mean_high),
                number(c.iqm),
                "" if c.best is None else odds(c.best),
                " ".join(number(score) for score in c.scores),
                f"{c.failures} of {len(c.scores)}" + _between(c.failure_low, c.failure_high),
                number(c.explored),
                "" if c.deeper is None else number(c.deeper.mean),
                "kept" if c.feasible else "broken",
            )
            for c, name in ((c, _name(c, result)) for c in result.candidates)
        ],
    )
    pictures = [
        Picture("Finalists over fresh seeds", _says(facts, result), [Panel("race", figure)], table)
    ]
    went = course(facts, result)
    if went is not None:
        pictures.append(went)
    return Section(
        "race",
        "The race",
        f"The best of the search again over fresh seeds. The robust score is the "
        f"{result.confidence:.0%} confidence bound of the mean on the bad side: of two equal means "
        "the higher one is the surer. Bars are the confidence interval of the mean."
        + _whom(result),
        pictures,
    )


def _whom(result: Result) -> str:
    """For whom the bounds hold."""
    if at_once(result):
        return (
            " Both hold for all finalists at once, and so for the one that was chosen. The middle "
            "half is the mean of the seeds without the lowest and the highest quarter; best with, "
            "the probability that no other finalist's mean over all seeds is better."
        )
    return " Each holds for a finalist by itself, and promises too much of the one that was chosen."


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{number(low)} to {number(high)}"


def _between(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" (rate {share(low)} to {share(high)})"


def _name(candidate: Finalist, result: Result) -> str:
    won = " (winner)" if candidate.trial == result.winner else ""
    return f"trial {candidate.trial}{won}"


def _says(facts: Facts, result: Result) -> str:
    best = result.candidates[0]
    text = (
        f"Trial {best.trial} has the best robust score, {number(best.robust)}, from "
        f"{count(len(best.scores), 'seed')} with a mean of {number(best.mean)}."
    )
    text += f" It is {lead_words(facts.plan, result, facts.book)}."
    race, others = result.race, len(result.candidates) - 1
    if race is not None and race.racing and others:
        over = race.runs > race.budget
        of = f"with a budget of {race.budget}" if over else f"of {race.budget}"
        text += f" The race took {count(race.runs, 'trial')} {of}: {claim(f'race_{race.ending}')}."
    if best.best is not None and others:
        text += f" It is {claim('best_with', probability=odds(best.best))}."
    return text
