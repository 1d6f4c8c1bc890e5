"""The space: where the good configs press against its ends, and what to search next."""

from __future__ import annotations

import plotly.graph_objects as go

from search.analysis.boundaries import NextSpace, next_space
from search.report.association import position
from search.report.facts import Facts
from search.report.section import Code, Panel, Picture, Section, Table
from search.report.theme import FAINT, GREEN, VERMILION, Role, chart, faded, marker
from search.report.trials import CONFIGS, SAYS
from search.report.winner import mark_winner
from search.report.words import count, listed, plain, short
from search.space.distributions import Range
from trm.files.yaml12 import dump_yaml

_ROW = 34
GOOD = Role(GREEN, "diamond", "solid")


def boundaries(facts: Facts) -> Section | None:
    """Warnings, the new ranges beside the old ones, and a file to go on with."""
    tried = [trial.params for trial in facts.trials.values() if trial.explores]
    found = next_space(facts.plan, facts.explored, tried)
    if found is None:
        return None
    ranges = [
        (name, distribution)
        for name, distribution in facts.parameters.items()
        if isinstance(distribution, Range) and any(name in t.params for t in found.good)
    ]
    figure = chart(110 + _ROW * len(ranges), xaxis_title="place in its range")
    _bars(figure, facts, found, ranges)
    pictures = [
        Picture(
            "The good configs in their ranges",
            _says(found),
            [Panel("space", figure)] if ranges else [],
            Table(("parameter", "searched", "next", "at an edge"), _rows(facts, found)),
        )
    ]
    code = []
    if found.tree is not None:
        code.append(
            Code("Suggested next space: trm sweep next.yaml", dump_yaml(found.tree).rstrip())
        )
    return Section(
        "space",
        "The space, and the next one",
        f"Good configs are the best {len(found.good)} of {count(len(facts.explored), 'config')} "
        "that ran in whole, each parameter on its own scale. The suggestion is checked against the "
        "schema and tries the best config first.",
        pictures,
        code,
    )


def _bars(
    figure: go.Figure, facts: Facts, found: NextSpace, ranges: list[tuple[str, Range]]
) -> None:
    names = [plain(name) for name, _ in ranges]
    ends = [
        [position(d, end) for end in found.ranges.get(name, (d.low, d.high))] for name, d in ranges
    ]
    for what, color, spans, width in (
        ("searched", faded(FAINT, 0.25), [[0.0, 1.0]] * len(ranges), 0.62),
        ("next", faded(GREEN, 0.45), ends, 0.26),
    ):
        figure.add_bar(
            y=names, x=[high - low for low, high in spans], base=[low for low, _ in spans],
            orientation="h", name=what, marker={"color": color}, width=width, hoverinfo="skip",
        )  # fmt: skip
    known = [(n, d, t) for n, d in ranges for t in found.good if n in t.params]
    figure.add_scatter(
        x=[position(d, t.params[n]) for n, d, t in known], y=[plain(n) for n, _, _ in known],
        mode="markers", name="good configs", marker=marker(GOOD, 7), meta=CONFIGS,
        customdata=[[t.id, short(t.params[n])] for n, _, t in known],
        hovertemplate=SAYS + "<br>%{y} %{customdata[1]}<extra></extra>",
    )  # fmt: skip
    if facts.best is not None:
        won = [(n, d, facts.best.params[n]) for n, d in ranges if n in facts.best.params]
        mark_winner(
            figure, facts, [position(d, value) for _, d, value in won],
            [plain(n) for n, _, _ in won],
        )  # fmt: skip
    at = [(plain(boundary.name), boundary.end) for boundary in found.boundaries]
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(tickformat=".0%")
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], showgrid=False)
    if at:
        figure.add_scatter(
            x=[0.0 if end == "low" else 1.0 for _, end in at], y=[name for name, _ in at],
            mode="markers", name="at an edge", hoverinfo="skip",
            marker={"symbol": "line-ns", "size": 22, "line": {"color": VERMILION, "width": 4}},
        )  # fmt: skip


def _says(found: NextSpace) -> str:
    warnings = [boundary.text() for boundary in found.boundaries]
    text = " ".join(f"{line[0].upper()}{line[1:]}." for line in warnings)
    text = text or "No parameter's best values press an edge."
    left = [f"{name} to {listed(list(kept))}" for name, kept in found.options.items()]
    if left:
        text += f" Options without a good config are left out: {'; '.join(left)}."
    return text


def _rows(facts: Facts, found: NextSpace) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, distribution in facts.parameters.items():
        after = ""
        if name in found.ranges:
            low, high = (short(end) for end in found.ranges[name])
            after = f"{low} to {high}"
        elif name in found.options:
            after = ", ".join(found.options[name])
        edges = [b.end for b in found.boundaries if b.name == name]
        rows.append((name, distribution.text(), after or "the same", " and ".join(edges)))
    return rows
