"""Slices: the score against each parameter, and over the pairs that matter most."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np

from search.report.association import of_score, position, strongest, thin
from search.report.facts import ConfigPoint, Facts, Values
from search.report.parallel import FEWEST_SUMMED
from search.report.progress import KINDS
from search.report.section import Legend, Panel, Picture, Section, Table
from search.report.theme import GROUND, INK, SCORES, VERMILION, chart, faded, marker
from search.report.trials import CONFIGS, SAYS
from search.report.winner import mark_winner, winner_key
from search.report.words import count, listed, number, plain, share, short, slug
from search.space.distributions import Choice, Range

MOST_SLICES = 16
MOST_CONTOURS = 3
MOST_IN_SLICE = 60
FEWEST_FOR_CONTOURS = 12
GRID = 32
LEAST_WEIGHT = 0.35
"""A place with less than the weight of this share of one point has no estimate."""


def slices(facts: Facts) -> Section | None:
    """One small figure a parameter; contours of up to three pairs."""
    points = [point for point in facts.points if math.isfinite(point.score)]
    order = strongest(facts)
    if len(points) < 2 or not order or all(point.outcome == "failed" for point in points):
        return None
    pictures = [_slices(facts, points, order[:MOST_SLICES])]
    contours = _contours(facts, points, order)
    if contours is not None:
        pictures.append(contours)
    return Section(
        "slices",
        "Slices",
        "Each point is a config of the search; everything else varies too, so a trend is what "
        "shows through the rest. Crosses failed and stand at the floor, rings were stopped early.",
        pictures,
    )


def _slices(facts: Facts, points: list[ConfigPoint], order: list[str]) -> Picture:
    panels, table = [], []
    scores = [p.score for p in points]
    span = [min(scores), max(scores)]
    margin = 0.06 * ((span[1] - span[0]) or 1.0)
    for index, name in enumerate(order):
        distribution = facts.parameters[name]
        mine = [p for p in points if name in p.params]
        figure = chart(230, showlegend=False, margin={"l": 44, "r": 10, "t": 8, "b": 36})
        for kind, role, _ in KINDS:
            shown = thin([p for p in mine if p.outcome == kind], facts.objective, MOST_IN_SLICE)
            if shown:
                figure.add_scatter(
                    x=[_value(distribution, p.params[name]) for p in shown],
                    y=[p.score for p in shown], mode="markers", customdata=[p.trial for p in shown],
                    marker=marker(role, 7, opacity=0.75), meta=CONFIGS,
                    hovertemplate=SAYS + "<br>%{x}: %{y:.4g}<extra>" + kind + "</extra>",
                )  # fmt: skip
        best = facts.best
        if best is not None and name in best.params:
            figure.add_vline(
                x=_value(distribution, best.params[name]) if isinstance(distribution, Range)
                else distribution.options.index(str(best.params[name])),
                line={"color": INK, "width": 1.2, "dash": "dot"},
            )  # fmt: skip
            won = [p for p in mine if p.trial == best.id]
            mark_winner(
                figure, facts, [_value(distribution, p.params[name]) for p in won],
                [p.score for p in won],
                hovertemplate=SAYS + "<br>%{x}: %{y:.4g}<extra></extra>",
            )  # fmt: skip
        figure.update_xaxes(**_axis(distribution))
        figure.update_yaxes(range=[span[0] - margin, span[1] + margin])
        panels.append(Panel(f"slice-{index + 1}-{slug(name)}", figure, name))
        table.append(_numbers(facts, name, mine))
    return Picture(
        f"{facts.objective.column} against each parameter",
        _says(facts, points, order),
        panels,
        Table(("parameter", "configs", "failed", "best fifth lies at", "the best"), table),
        key=_key(facts, points),
    )


def _key(facts: Facts, points: list[ConfigPoint]) -> list[Legend]:
    there = {p.outcome for p in points}
    kinds = [Legend(kind, words) for kind, _, words in KINDS if kind in there]
    return [winner_key(facts), *kinds] if facts.best is not None else kinds


def _says(facts: Facts, points: list[ConfigPoint], order: list[str]) -> str:
    failed = [p for p in points if p.outcome == "failed"]
    shares = {name: of_score(facts, facts.parameters[name]) for name in order}
    first = [name for name in sorted(order, key=lambda name: -shares[name]) if shares[name] > 0.05]
    text = "No parameter alone goes with the score. "
    if first:
        also = f", then {listed(first[1:3])}" if first[1:] else ""
        text = f"{first[0]} goes with the score of what ran to its end most{also}. "
    text += "The dotted line goes through the star." if facts.best else ""
    if failed:
        worst = _where_failures(facts, points)
        text += f" {count(len(failed), 'config')} failed" + (f", {worst}." if worst else ".")
    return text


def _where_failures(facts: Facts, points: list[ConfigPoint]) -> str:
    """The parameter whose upper or lower half fails more than the other half, in words."""
    found = []
    for name, distribution in facts.parameters.items():
        if not isinstance(distribution, Range):
            continue
        known = [p for p in points if name in p.params]
        places = np.array([position(distribution, p.params[name]) for p in known])
        fails = np.array([p.outcome == "failed" for p in known], dtype=float)
        for end, inside in (("upper", places >= 0.5), ("lower", places < 0.5)):
            if inside.sum() >= 5 and (~inside).sum() >= 5:
                rise = fails[inside].mean() - fails[~inside].mean()
                often = share(float(fails[inside].mean()))
                found.append((rise, f"{often} of those in the {end} half of {name}"))
    best = max(found, default=(0.0, ""))
    return best[1] if best[0] > 0.1 else ""


def _numbers(facts: Facts, name: str, points: list[ConfigPoint]) -> tuple[str, ...]:
    whole = [p for p in points if p.outcome == "completed"]
    whole.sort(key=lambda p: -facts.objective.merit(p.score))
    best = whole[: len(whole) // 5]
    top = [p.params[name] for p in best] if len(best) >= FEWEST_SUMMED else []
    if isinstance(facts.parameters[name], Range):
        where = f"{short(min(top))} to {short(max(top))}" if top else ""
    else:
        where = listed(sorted(set(map(str, top))))
    failed = sum(p.outcome == "failed" for p in points)
    return name, str(len(points)), str(failed), where, short(whole[0].params[name]) if whole else ""


def _value(distribution: Choice | Range, value: Any) -> Any:
    return plain(str(value)) if isinstance(distribution, Choice) else value


def _axis(distribution: Choice | Range) -> dict[str, Any]:
    if isinstance(distribution, Choice):
        options = [plain(option) for option in distribution.options]
        return {
            "type": "category", "categoryorder": "array", "categoryarray": options,
            "range": [-0.5, len(options) - 0.5], "showgrid": False,
        }  # fmt: skip
    low, high = distribution.low, distribution.high
    if distribution.log:
        low, high = math.log10(low), math.log10(high)
    margin = 0.04 * (high - low)
    axis: dict[str, Any] = {
        "type": "log" if distribution.log else "linear", "range": [low - margin, high + margin],
        "nticks": 6, "exponentformat": "none",
    }  # fmt: skip
    if distribution.log:
        ticks = log_ticks(distribution.low, distribution.high)
        axis |= {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
    if distribution.integer and distribution.count <= 8:
        axis |= {"dtick": 1}
    return axis


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis, three to six of them where that can be.

    >>> log_ticks(0.003, 0.03), log_ticks(1e-5, 1e-1)
    ([0.003, 0.01, 0.03], [1e-05, 0.0001, 0.001, 0.01, 0.1])
    """
    found: list[float] = []
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 4, 5, 7)):
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [float(f"{digit}e{decade}") for decade in decades for digit in digits]
        inside = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(inside) > 6 and found:
            break
        found = inside
        if len(found) >= 3:
            break
    while len(found) > 6:
        found = found[::2]
    return found


def _contours(facts: Facts, points: list[ConfigPoint], order: list[str]) -> Picture | None:
    numeric = [
        name
        for name in order
        if isinstance(facts.parameters[name], Range) and facts.parameters[name].count > 4
    ][:3]
    panels: list[Panel] = []
    for first, second in list(combinations(numeric, 2))[:MOST_CONTOURS]:
        known = [p for p in points if first in p.params and second in p.params]
        whole = [p for p in known if p.outcome != "pruned"]
        if len(whole) < FEWEST_FOR_CONTOURS:
            continue
        panels.append(
            _contour(
                facts,
                first,
                second,
                known,
                f"contour-{len(panels) + 1}-{slug(first)}-{slug(second)}",
            )
        )
    if not panels:
        return None
    failed = any(p.outcome == "failed" for p in points)
    return Picture(
        "Pairs of parameters",
        "The score between the configs that ran, smoothed; blank where none was near. "
        + (
            "Inside the dotted line more than half of the configs failed."
            if failed
            else "No config of the search failed."
        ),
        panels,
        wide=True,
        key=_key(facts, [p for p in points if p.outcome != "pruned"]),
    )


def _contour(facts: Facts, first: str, second: str, points: list[ConfigPoint], name: str) -> Panel:
    x, y = facts.parameters[first], facts.parameters[second]
    assert isinstance(x, Range)
    assert isinstance(y, Range)
    places = np.array([[position(d, p.params[d.name]) for d in (x, y)] for p in points])
    whole = np.array([p.outcome != "pruned" for p in points])
    scores = np.array([p.score for p in points])
    failures = np.array([p.outcome == "failed" for p in points], dtype=float)
    surface = smoothed(places[whole & (failures == 0)], scores[whole & (failures == 0)])
    ticks = np.linspace(0.0, 1.0, GRID)
    xs, ys = ([_at(d, float(t)) for t in ticks] for d in (x, y))
    figure = chart(330, showlegend=False, margin={"l": 52, "r": 10, "t": 8, "b": 44})
    figure.add_contour(
        x=xs, y=ys, z=surface, colorscale=SCORES, reversescale=not facts.objective.maximizes,
        contours={"coloring": "heatmap"}, line={"width": 0}, connectgaps=False,
        colorbar={"thickness": 12, "outlinewidth": 0, "len": 0.9},
        hovertemplate="%{x:.3g}, %{y:.3g}: %{z:.3g}<extra></extra>",
    )  # fmt: skip
    if failures.any():
        risk = smoothed(places[whole], failures[whole])
        figure.add_contour(
            x=xs, y=ys, z=np.where(np.isnan(risk), 0.0, risk), showscale=False, hoverinfo="skip",
            contours={"type": "constraint", "operation": "<", "value": 0.5},
            fillcolor=faded(VERMILION, 0.3),
            line={"color": VERMILION, "width": 2, "dash": "dot"},
        )  # fmt: skip
    for kind, role, _ in KINDS:
        mine = [p for p in points if p.outcome == kind]
        if kind != "pruned" and mine:
            shown = thin(mine, facts.objective, MOST_IN_SLICE)
            look = marker(role, 7) if kind == "failed" else {
                "color": GROUND, "size": 4, "line": {"color": INK, "width": 0.8},
            }  # fmt: skip
            figure.add_scatter(
                x=[p.params[first] for p in shown], y=[p.params[second] for p in shown],
                mode="markers", marker=look, customdata=[[p.trial, number(p.score)] for p in shown],
                meta=CONFIGS,
                hovertemplate=SAYS + "<br>%{customdata[1]}<extra>" + kind + "</extra>",
            )  # fmt: skip
    best = facts.best
    if best is not None and first in best.params and second in best.params:
        mark_winner(figure, facts, [best.params[first]], [best.params[second]])
    figure.update_xaxes(title=plain(first), **_axis(x))
    figure.update_yaxes(title=plain(second), **_axis(y))
    return Panel(name, figure, label=f"{first} and {second}")


def _at(distribution: Range, place: float) -> float:
    """The number at a place between low and high, as a share of the own scale; not rounded."""
    low, high = distribution.low, distribution.high
    if distribution.log:
        return math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
    return low + place * (high - low)


def smoothed(places: Values, values: Values) -> Values:
    """Kernel regression on the unit square, `[GRID, GRID]` as (second, first); NaN far from points.

    sum K_i v_i / sum K_i with a Gaussian kernel (Nadaraya 1964, Watson 1964) of standard deviation
    s n^(-1/6), s the points' own along each axis (Scott, "Multivariate Density Estimation", 1992,
    section 6.3), at least 0.04.

    Args:
        places: `[n, 2]` in the unit square.
        values: `[n]`.
    """
    ticks = np.linspace(0.0, 1.0, GRID)
    if len(places) < 3:
        return np.full((GRID, GRID), np.nan)
    width = np.maximum(places.std(axis=0) * len(places) ** (-1 / 6), 0.04)
    across = np.exp(-0.5 * ((ticks[:, None] - places[:, 0]) / width[0]) ** 2)  # [grid, n]
    along = np.exp(-0.5 * ((ticks[:, None] - places[:, 1]) / width[1]) ** 2)
    weight = along @ across.T
    found = (along * values) @ across.T
    return np.where(weight >= LEAST_WEIGHT, found / np.maximum(weight, 1e-300), np.nan)
