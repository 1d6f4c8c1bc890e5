"""What matters: importances of the parameters, and which pairs act together."""

from __future__ import annotations

import numpy as np

from search.analysis.importance import Target, importances
from search.ledger.book import Book
from search.report.facts import Facts
from search.report.section import Panel, Picture, Section, Table
from search.report.theme import BLUE, GROUND, INK, ORANGE, chart
from search.report.words import count, folded, listed, number, plain, share

MOST_BARS = 14
LEAST_SHARE = 0.005
"""Interactions below it are not drawn."""
MOST_CONFIGS = 400
"""Forests grow with the configs: more take minutes and say the same. `trm importance` has all."""
_ROW = 34
TITLES = {"score": "the score", "failure": "failing", "spread": "the spread between seeds"}


def matters(facts: Facts) -> Section | None:
    """Bars a target, and a heatmap of interactions; None where too few configs say anything."""
    if facts.plan.breeds:
        return None
    book, left_out = _thinned(facts)
    found = importances(facts.plan, book)
    targets = [target for target in found.targets if target.fanova or target.ped_anova]
    if not targets:
        return None
    pictures = [_bars(target) for target in targets]
    heat = [picture for picture in map(_heatmap, targets) if picture is not None]
    return Section(
        "importance",
        "What matters",
        "fANOVA is the share of the variance over the whole space that a parameter explains alone; "
        "PED-ANOVA is how much the best configs differ from all in it. Both from the runs that "
        "there are, without new ones."
        + (f" {count(left_out, 'config')} of a crowd are left out." if left_out else ""),
        [*pictures, *heat],
    )


def _thinned(facts: Facts) -> tuple[Book, int]:
    """The trials of at most `MOST_CONFIGS` configs, evenly from all, and how many are left out."""
    configs = sorted({t.candidate for t in facts.of_stage("explore")})
    if len(configs) <= MOST_CONFIGS:
        return facts.book, 0
    kept = {configs[index * len(configs) // MOST_CONFIGS] for index in range(MOST_CONFIGS)}
    book = Book()
    book.trials.update((n, t) for n, t in facts.trials.items() if t.candidate in kept)
    return book, len(configs) - MOST_CONFIGS


def _bars(target: Target) -> Picture:
    names = list(dict.fromkeys([*target.fanova, *target.ped_anova]))
    names.sort(key=lambda name: -max(target.fanova.get(name, 0), target.ped_anova.get(name, 0)))
    shown = names[:MOST_BARS][::-1]
    figure = chart(110 + _ROW * len(shown), barmode="group", xaxis_title="share")
    for name, values, color, shape in (
        ("PED-ANOVA", target.ped_anova, ORANGE, "/"), ("fANOVA", target.fanova, BLUE, ""),
    ):  # fmt: skip
        if values:
            figure.add_bar(
                y=[folded(n) for n in shown], x=[values.get(n, 0.0) for n in shown], name=name,
                orientation="h", marker={"color": color, "pattern": {"shape": shape}},
                hovertemplate="%{y}: %{x:.0%}<extra>" + name + "</extra>",
            )  # fmt: skip
    figure.update_xaxes(tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(showgrid=False)
    figure.update_layout(legend_traceorder="reversed")
    title = TITLES.get(target.name, target.name)
    rows = [
        (n, share(target.fanova[n]) if n in target.fanova else "",
         share(target.ped_anova[n]) if n in target.ped_anova else "")
        for n in names
    ]  # fmt: skip
    return Picture(
        f"What {title} depends on",
        _says(target, title),
        [Panel(f"importance-{target.name}", figure)],
        Table(("parameter", "fANOVA", "PED-ANOVA"), rows),
    )


def _says(target: Target, title: str) -> str:
    values = target.fanova or target.ped_anova
    order = sorted(values, key=lambda name: -values[name])
    top = [f"{name} ({share(values[name])})" for name in order[:3] if values[name] >= 0.05]
    what = f"{title[0].upper()}{title[1:]}"
    text = (
        f"{what} depends most on {listed(top)}, by {count(target.configs, 'config')}."
        if top
        else f"No parameter alone explains {title}, by {count(target.configs, 'config')}."
    )
    return " ".join([text, *(f"{note[0].upper()}{note[1:].rstrip('.')}." for note in target.notes)])


def _heatmap(target: Target) -> Picture | None:
    pairs = [pair for pair in target.interactions if pair.share >= LEAST_SHARE]
    names = list(dict.fromkeys(name for pair in pairs for name in (pair.first, pair.second)))
    if len(names) < 2:
        return None
    names = names[:10]
    table = np.full((len(names), len(names)), np.nan)
    for pair in pairs:
        if pair.first in names and pair.second in names:
            i, j = names.index(pair.first), names.index(pair.second)
            table[max(i, j), min(i, j)] = pair.share
    labels = [plain(name) for name in names]
    figure = chart(170 + _ROW * len(names))
    figure.add_heatmap(
        x=labels, y=labels, z=table, colorscale=[[0, GROUND], [1, BLUE]], zmin=0,
        text=[[f"{value:.0%}" if value >= 0.005 else "" for value in row] for row in table],
        texttemplate="%{text}", textfont={"color": INK}, xgap=2, ygap=2,
        colorbar={"tickformat": ".0%", "thickness": 12, "outlinewidth": 0},
        hovertemplate="%{x} with %{y}: %{z:.1%}<extra></extra>", hoverongaps=False,
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False, tickangle=-35)
    best = pairs[0]
    says = f"{best.first} and {best.second} act together most: {share(best.share)} of the variance"
    says += " beyond what each does alone."
    if target.explained is not None:
        says += (
            f" The forest behind it explains {share(max(target.explained, 0.0))} of unseen configs."
        )
    return Picture(
        f"Which parameters act together on {TITLES.get(target.name, target.name)}",
        says,
        [Panel(f"interactions-{target.name}", figure)],
        Table(
            ("parameter", "with", "share"),
            [(pair.first, pair.second, number(pair.share)) for pair in pairs],
        ),
    )
