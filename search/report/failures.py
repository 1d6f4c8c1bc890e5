"""Failures over time: when each failed trial ended, and why, in words."""

from __future__ import annotations

from collections import Counter

import numpy as np

from search.history import FAILURES
from search.ledger import Trial
from search.report.costs import LOOKS
from search.report.facts import Facts
from search.report.section import Panel, Picture, Section, Table
from search.report.theme import INK, chart
from search.report.words import count, drawn, listed, share

MOST_SHOWN = 40
_ROW = 22


def failures(facts: Facts) -> Section | None:
    """A bar a failed trial, as long as it lasted; None where nothing failed."""
    failed = [trial for trial in facts.trials.values() if trial.outcome in FAILURES]
    if not failed:
        return None
    shown = failed[:MOST_SHOWN]
    names = [f"trial {trial.id}" for trial in shown]
    figure = chart(110 + _ROW * len(shown), xaxis_title="share of compute", barmode="overlay")
    for outcome in dict.fromkeys(trial.outcome for trial in shown):
        color, shape = LOOKS[str(outcome)]
        mine = [trial for trial in shown if trial.outcome == outcome]
        ends = [_end(facts, trial) for trial in mine]
        figure.add_bar(
            y=[f"trial {t.id}" for t in mine], x=ends, orientation="h", name=str(outcome),
            marker={"color": color, "pattern": {"shape": shape, "solidity": 0.3}},
            hovertemplate="%{y} until %{x:.0%}<extra>" + str(outcome) + "</extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=ends, y=[f"trial {t.id}" for t in mine], mode="markers", hoverinfo="skip",
            marker={"symbol": "x", "size": 8, "color": INK}, showlegend=False,
        )  # fmt: skip
    figure.update_xaxes(tickformat=".0%", range=[0, 1.03])
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], showgrid=False)
    rows = [
        (
            f"trial {trial.id}",
            trial.stage,
            str(trial.outcome),
            share(_end(facts, trial)),
            trial.reason or "no reason was recorded",
            ", ".join(f"{name} {value}" for name, value in drawn(trial.params).items()),
        )
        for trial in failed
    ]
    title = "When they failed"
    if len(failed) > MOST_SHOWN:
        title += f" (the first {MOST_SHOWN} of {len(failed):,})"
    return Section(
        "failures",
        "Failures",
        "A failed trial scores the task's floor; it is never left out of a mean.",
        [
            Picture(
                title,
                _says(facts, failed),
                [Panel("failures", figure)],
                Table(("trial", "stage", "outcome", "ended at", "why", "drawn"), rows),
            )
        ],
    )


def _end(facts: Facts, trial: Trial) -> float:
    progress = facts.curves.of(trial.id, "progress")
    return float(progress[-1]) if len(progress) else 0.0


def _says(facts: Facts, failed: list[Trial]) -> str:
    ended = sum(trial.outcome is not None for trial in facts.trials.values())
    counts = Counter(str(trial.outcome) for trial in failed)
    text = (
        f"{count(len(failed), 'trial')} of {ended:,} failed ({share(len(failed) / ended)}): "
        f"{listed([f'{n:,} {outcome}' for outcome, n in counts.most_common()])}. Half of them had "
        f"failed after {share(float(np.median([_end(facts, t) for t in failed])))} of the compute."
    )
    reasons = Counter(trial.reason for trial in failed if trial.reason)
    if reasons:
        reason, n = reasons.most_common(1)[0]
        text += f" The most frequent reason ({n:,}): {reason}."
    return text
