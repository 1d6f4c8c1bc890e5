"""Ablations: each against the base, over seeds."""

from __future__ import annotations

import json
from typing import Any

from search.ledger.book import holds_ablations
from search.report.facts import Facts
from search.report.section import Panel, Picture, Section, Table
from search.report.theme import FAINT, INK, PLAIN, Role, chart, marker
from search.report.words import count, listed, number, plain
from search.stability.ablation_table import AblationLine, Ablations, tabled
from search.stability.claims import claim, odds

_ROW = 34
_OPEN = Role(FAINT, "circle-open", "dot")


def ablations_of(facts: Facts) -> Ablations | None:
    """The ablations of a run folder; None if it holds a sweep."""
    if not holds_ablations(facts.trials):
        return None
    return tabled(str(facts.folder), facts.plan, facts.book)


def ablations(facts: Facts) -> Section | None:
    """Differences from the base with their intervals; None in a sweep."""
    found = ablations_of(facts)
    if found is None or not found.lines:
        return None
    base, *others = found.lines
    known = [line for line in others if line.difference is not None]
    panels = []
    if known:
        known.sort(key=lambda line: line.difference or 0.0)
        figure = chart(120 + _ROW * len(known), xaxis_title=f"{found.objective} minus the base's")
        for settled, role, name in (
            (True, PLAIN, "its interval leaves out 0"),
            (False, _OPEN, "its interval holds 0"),
        ):
            mine = [line for line in known if line.settled is settled]
            if mine:
                figure.add_scatter(
                    y=[plain(line.name) for line in mine], x=[line.difference for line in mine],
                    mode="markers", name=name, marker=marker(role, 10),
                    error_x={
                        "type": "data", "symmetric": False, "thickness": 1.6, "width": 4,
                        "color": role.color, "array": [_arm(line, line.high) for line in mine],
                        "arrayminus": [_arm(line, line.low) for line in mine],
                    },
                    hovertemplate="%{y}: %{x:+.3f}<extra></extra>",
                )  # fmt: skip
        figure.add_vline(x=0, line={"color": INK, "width": 1.2, "dash": "dot"})
        names = [plain(line.name) for line in known]
        figure.update_yaxes(categoryorder="array", categoryarray=names, showgrid=False)
        panels.append(Panel("ablations", figure))
    return Section(
        "ablations",
        "Ablations",
        f"Each changes the base in one respect, at equal compute, over "
        f"{found.runs}. Bars are {found.confidence:.0%} intervals (Welch), each "
        "alone.",
        [Picture("Against the base", _says(found, base, known), panels, _table(found.lines))],
    )


def _arm(line: AblationLine, end: float | None) -> float:
    return 0.0 if end is None or line.difference is None else abs(end - line.difference)


def _says(found: Ablations, base: AblationLine, known: list[AblationLine]) -> str:
    text = f"The base has a mean {found.objective} of {number(base.mean) or 'nothing yet'}."
    sign = 1.0 if found.maximizes else -1.0
    worse = [x.name for x in known if x.settled and sign * (x.difference or 0.0) < 0]
    better = [x.name for x in known if x.settled and sign * (x.difference or 0.0) > 0]
    if worse:
        text += f" {_claimed('ablation_worse', worse, found)}."
    if better:
        text += f" {_claimed('ablation_better', better, found)}."
    left = len(known) - len(worse) - len(better)
    text += f" {count(left, 'ablation')} neither." if left else ""
    missing = sum(max(found.seeds - len(line.scores), 0) for line in found.lines)
    if missing > 0:
        text += f" {count(missing, 'trial')} {'has' if missing == 1 else 'have'} not ended."
    return text + "".join(f" Left out: {name} ({why})." for name, why in found.left_out.items())


def _claimed(name: str, which: list[str], found: Ablations) -> str:
    words = claim(name, names=listed(which), sure=f"{found.confidence:.0%}")
    return f"{words[0].upper()}{words[1:]}"


def _table(lines: list[AblationLine]) -> Table:
    rows = []
    for line in lines:
        gap = "" if line.difference is None else f"{line.difference:+.3f}"
        if line.low is not None and line.high is not None:
            gap += f" ({line.low:+.3f} to {line.high:+.3f})"
        rows.append(
            (
                line.name,
                number(line.mean),
                gap,
                "" if line.beats is None else odds(line.beats),
                "" if line.seeds_needed is None else f"{line.seeds_needed:,}",
                f"{line.failures} of {len(line.scores)}",
                " ".join(number(score) for score in line.scores),
                ", ".join(f"{key} {_value(value)}" for key, value in line.changes.items()),
            )
        )
    return Table(
        (
            "ablation", "mean", "difference", "beats the base", "seeds to settle", "failed",
            "seeds", "changes",
        ),
        rows,
    )  # fmt: skip


def _value(value: Any) -> str:
    """As the file has it."""
    return value if isinstance(value, str) else json.dumps(value)
