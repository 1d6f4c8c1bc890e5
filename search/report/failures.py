"""Failures over time: when trials failed or began to, and why, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from search.analysis.diagnosis import diagnose_book
from search.engine.attempts.collapse import Diagnosis
from search.ledger.trial import Trial
from search.objectives.outcome import FAILURES
from search.report.costs import LOOKS
from search.report.facts import Facts
from search.report.scrub import reason_of
from search.report.section import Panel, Picture, Section, Table
from search.report.theme import BLUE, FAINT, GREEN, INK, ORANGE, PURPLE, VERMILION, chart, faded
from search.report.trials import CONFIGS, SAYS
from search.report.winner import mark_winner
from search.report.words import count, drawn, listed, share
from trm.detectors import DETECTORS
from trm.detectors.detector import Finding

MOST_SHOWN = 40
FEWEST_SUMMED = 5
"""Failed trials that are summarised in words."""
_ROW = 22
SYMBOLS = (
    "x", "triangle-up", "star", "triangle-down", "diamond", "square", "pentagon", "line-ew",
    "circle", "hexagram",
)  # fmt: skip
COLORS = (VERMILION, ORANGE, ORANGE, PURPLE, BLUE, GREEN, BLUE, INK, GREEN, PURPLE)
"""By detector, in their order."""


def failures(facts: Facts) -> Section | None:
    """A bar a trial, as long as it lasted, with a mark at each finding; None if all is well."""
    diagnoses = {one.trial: one for one in diagnose_book(facts.book) if one.trial is not None}
    ill = [trial for trial in facts.trials.values() if trial.failed or _found(diagnoses, trial)]
    if not ill:
        return None
    ill.sort(key=lambda trial: (not trial.failed, trial.id))
    shown = ill[:MOST_SHOWN]
    figure = chart(130 + _ROW * len(shown), xaxis_title="share of compute", barmode="overlay")
    for outcome in dict.fromkeys(trial.outcome or "unfinished" for trial in shown):
        mine = [trial for trial in shown if (trial.outcome or "unfinished") == outcome]
        color, shape = LOOKS[outcome]
        fill = faded(color if outcome in FAILURES else FAINT, 0.45)
        figure.add_bar(
            y=[_name(trial) for trial in mine], x=[_end(facts, trial) for trial in mine],
            orientation="h", name=outcome, customdata=[trial.id for trial in mine], meta=CONFIGS,
            marker={"color": fill, "pattern": {"shape": shape, "solidity": 0.3}},
            hovertemplate=SAYS + "<br>until %{x:.0%}<extra>" + outcome + "</extra>",
        )  # fmt: skip
    for index, detector in enumerate(DETECTORS):
        marks = [
            (trial, finding)
            for trial in shown
            for finding in _found(diagnoses, trial)
            if finding.detector == detector
        ]
        if marks:
            figure.add_scatter(
                x=[finding.at for _, finding in marks], y=[_name(trial) for trial, _ in marks],
                mode="markers", name=detector.replace("_", " "),
                marker={"symbol": SYMBOLS[index % len(SYMBOLS)], "size": 10,
                        "color": COLORS[index % len(COLORS)], "line": {"width": 1, "color": INK}},
                hovertemplate="%{y} at %{x:.0%}<extra>" + detector.replace("_", " ") + "</extra>",
            )  # fmt: skip
    best = facts.best
    won = [t for t in shown if best is not None and t.candidate == best.id]
    mark_winner(
        figure, facts, [_end(facts, t) for t in won], [_name(t) for t in won],
        customdata=[t.id for t in won],
        hovertemplate=SAYS + "<br>until %{x:.0%}<extra>a run of the winner</extra>"
        if facts.result else SAYS + "<br>until %{x:.0%}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(tickformat=".0%", range=[0, 1.03])
    figure.update_yaxes(
        categoryorder="array", categoryarray=[_name(t) for t in shown][::-1], showgrid=False
    )
    title = "What went wrong, and when"
    if len(ill) > MOST_SHOWN:
        title += f" (the first {MOST_SHOWN} of {len(ill):,})"
    return Section(
        "failures",
        "Failures",
        "A failed trial scores the task's floor; it is never left out of a mean. A bar lasts as "
        "long as the trial did; a mark is what a detector saw, and when first.",
        [
            Picture(
                title,
                _says(facts, ill, diagnoses),
                [Panel("failures", figure)],
                Table(
                    ("trial", "stage", "outcome", "ended at", "diagnosis", "drawn"),
                    [_row(facts, trial, diagnoses) for trial in ill],
                ),
            )
        ],
    )


def _found(diagnoses: Mapping[int, Diagnosis], trial: Trial) -> tuple[Finding, ...]:
    return diagnoses[trial.id].findings if trial.id in diagnoses else ()


def _name(trial: Trial) -> str:
    return f"trial {trial.id}"


def _row(facts: Facts, trial: Trial, diagnoses: Mapping[int, Diagnosis]) -> tuple[str, ...]:
    findings = _found(diagnoses, trial)
    words = "; ".join(
        f"{f.detector.replace('_', ' ')} at {share(f.at)}: {f.words}" for f in findings
    )
    return (
        _name(trial),
        trial.stage,
        trial.outcome or "unfinished",
        share(_end(facts, trial)),
        words or reason_of(trial) or "no reason was recorded",
        ", ".join(f"{name} {value}" for name, value in drawn(trial.params).items()),
    )


def _end(facts: Facts, trial: Trial) -> float:
    progress = facts.curves.of(trial.id, "progress")
    return float(progress[-1]) if len(progress) else 0.0


def _says(facts: Facts, ill: list[Trial], diagnoses: Mapping[int, Diagnosis]) -> str:
    failed = [trial for trial in ill if trial.failed]
    ended = sum(trial.ended for trial in facts.trials.values())
    text = f"None of {count(ended, 'trial')} failed."
    if failed:
        counts = Counter(str(trial.outcome) for trial in failed)
        text = (
            f"{count(len(failed), 'trial')} of {ended:,} failed ({share(len(failed) / ended)}): "
            f"{listed([f'{n:,} {outcome}' for outcome, n in counts.most_common()])}."
        )
        if len(failed) >= FEWEST_SUMMED:
            half = share(float(np.median([_end(facts, trial) for trial in failed])))
            text += f" Half of them had failed after {half} of the compute."
    seen = Counter(f.detector for trial in ill for f in _found(diagnoses, trial))
    if seen:
        names = [f"{d.replace('_', ' ')} in {n:,}" for d, n in seen.most_common(4)]
        text += f" The detectors saw {listed(names)}."
    elif failed and failed[0].reason:
        reason, n = Counter(map(reason_of, failed)).most_common(1)[0]
        text += f" The most frequent reason ({n:,}): {reason}."
    return text
