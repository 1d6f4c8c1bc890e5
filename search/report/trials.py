"""The trials of a page: what it says of each one on request, without fetching anything.

Every config that a figure shows has its settings here; those that matter have their curve,
findings and config too, for a page has to stay small.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from shlex import quote
from typing import Any

import numpy as np

from search.analysis.diagnosis import diagnose_book
from search.config.seeds import REFERENCE
from search.ledger.storage import Remote
from search.ledger.trial import Trial
from search.report.facts import Facts
from search.report.scrub import beside, reason_of
from search.report.section import Section
from search.report.theme import chart
from search.report.words import drawn, number
from search.stability.recursion import effective, effective_config
from trm.files.yaml12 import dump_yaml

CONFIGS = "configs"
"""`meta` of a trace whose points are trials: `customdata` has each one's number, or begins with
it."""
SAYS = "%{hovertext}"
"""In a hover template, the trial and its settings: the browser fills it in."""
MOST_TOLD, MOST_TOLD_OF_FEW, FEW = 60, 150, 300
"""Trials with their curve, findings and config on the page; more where the run has few trials,
whose figures leave room."""
MOST_POINTS = 12
"""Reports of one curve."""
_ABSENT = object()
Tree = Mapping[str, Any]


def trial_curve() -> Any:
    """The empty figure that a trial's curve is drawn into."""
    figure = chart(200, margin={"l": 44, "r": 10, "t": 8, "b": 40}, xaxis_title="share of compute")
    return figure.update_xaxes(tickformat=".0%", range=[0, 1.03])


def trial_table(facts: Facts, sections: Sequence[Section]) -> dict[str, Any]:
    """What the page holds of its trials, in plain values."""
    base_params, base = facts.plan.space.default()
    names = list(facts.parameters)
    told = told_of(facts)
    shown = sorted({*told, *(n for n in _in_figures(sections) if n in facts.trials)})
    findings = {
        one.trial: [
            f"{f.detector.replace('_', ' ')} at {f.at:.0%}: {f.words}" for f in one.findings
        ]
        for one in diagnose_book(facts.book)
        if one.trial in told
    }
    best = facts.best
    where = str(facts.folder) if isinstance(facts.folder, Remote) else facts.named
    return {
        "run": quote(where),
        "column": facts.objective.column,
        "winner": None if best is None else best.id,
        "won": facts.result is not None,
        "defaults": REFERENCE,
        "count": len(facts.trials),
        "infeasible": [trial.id for trial in facts.trials.values() if trial.infeasible],
        "names": names,
        "base": _values(base_params, names),
        "trials": {
            n: {
                "v": _values(effective(facts.trials[n].params, facts.trials[n].config), names),
                **(_whole(facts, facts.trials[n], base, findings.get(n, [])) if n in told else {}),
            }
            for n in shown
        },
    }  # fmt: skip


def told_of(facts: Facts) -> set[int]:
    """The trials that matter most: finalists and all their runs, the defaults', the best of the
    search, failures, and others evenly from the rest."""
    best = facts.best
    most = MOST_TOLD_OF_FEW if len(facts.trials) <= FEW else MOST_TOLD
    finalists = {c.trial for c in facts.result.candidates} if facts.result else set()
    finalists |= {best.id} if best is not None else set()
    order = [
        *([best.id] if best is not None else []),
        *(t.id for t in facts.trials.values() if t.candidate in finalists),
        *(t.id for t in facts.of_stage("reference")),
        *(one.trial.id for one in facts.explored[: most // 3]),
        *[t.id for t in facts.trials.values() if t.failed][: most // 6],
    ]
    first = list(dict.fromkeys(order))[:most]
    rest = [n for n in facts.trials if n not in set(first)]
    room = min(most - len(first), len(rest))
    return {*first, *(rest[index * len(rest) // room] for index in range(room))}


def _in_figures(sections: Sequence[Section]) -> Iterator[int]:
    """The trials that are points of figures."""
    for section in sections:
        for picture in section.pictures:
            for panel in picture.panels:
                for trace in panel.figure.data:
                    if trace.meta == CONFIGS and trace.customdata is not None:
                        yield from (int(np.ravel(one)[0]) for one in trace.customdata)
                    elif isinstance(trace.meta, dict) and "lines" in trace.meta:
                        yield from trace.meta["lines"]


def _values(params: Mapping[str, Any], names: Sequence[str]) -> str:
    """Its settings in the order of the names; empty where it has none. In one text, for space."""
    known = drawn(params)
    return "\t".join(known.get(name, "") for name in names)


def _whole(facts: Facts, trial: Trial, base: Tree, findings: list[str]) -> dict[str, Any]:
    progress = facts.curves.of(trial.id, "progress")
    values = facts.curves.of(trial.id, facts.objective.column)
    known = np.flatnonzero(np.isfinite(values)) if len(values) else np.empty(0, dtype=int)
    step = max(1, -(-len(known) // MOST_POINTS))
    # The last report always counts, whatever the stride.
    picked = known[::-1][::step][::-1]
    reason = reason_of(trial)
    changed = differing(effective_config(trial.config), effective_config(base))
    return {
        "stage": trial.stage,
        "seed": trial.seed,
        "of": trial.candidate,
        "ended": trial.outcome or "unfinished",
        "score": "" if trial.score is None or math.isnan(trial.score) else number(trial.score, 4),
        "x": [round(float(at), 3) for at in progress[picked]] if len(picked) else [],
        "y": [round(float(value), 4) for value in values[picked]] if len(picked) else [],
        "found": [*([reason] if reason else []), *findings],
        "yaml": beside(dump_yaml(changed)).rstrip() if changed else "",
    }


def differing(tree: Tree, base: Tree) -> dict[str, Any]:
    """The leaves of a config that another one has not, or has otherwise.

    A component of another name is given in whole, for its settings are its own.

    >>> differing({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"x": 1, "y": 5}, "b": 3})
    {'a': {'y': 2}}
    >>> differing({"a": {"name": "new", "y": 5}}, {"a": {"name": "old", "y": 5}})
    {'a': {'name': 'new', 'y': 5}}
    """
    found: dict[str, Any] = {}
    for key, value in tree.items():
        theirs = base.get(key, _ABSENT)
        if value == theirs:
            continue
        both = isinstance(value, Mapping) and isinstance(theirs, Mapping)
        if both and value.get("name") == theirs.get("name"):
            found[key] = differing(value, theirs)
        else:
            found[key] = value
    return found
