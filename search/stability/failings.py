"""What detectors found in the winner's own trials over fresh seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.config.plan import Plan
from search.config.seeds import REFERENCE
from search.engine.attempts.collapse import ancestors, diagnose_trial
from search.ledger.book import Book
from search.ledger.trial import Trial
from trm.detectors.detector import Finding, Severity

OFTEN = 1 / 3
"""The share of a config's trials from which on a detector's warning is a reason for care."""


@dataclass(frozen=True)
class Failing:
    """What one detector found in a config's trials.

    Attributes:
        detector: its name.
        severity: the worst of its findings.
        trials: how many it found something in.
        of: how many it looked at.
        words: what it found, in how many, with the worst one in words.
        remedy: what the evidence suggests to try; may be empty.
    """

    detector: str
    severity: Severity
    trials: int
    of: int
    words: str
    remedy: str


def own_trials(plan: Plan, book: Book, winner: Trial) -> list[Trial]:
    """The winner's trials over fresh seeds, of the race and of the promise, that have ended."""
    same = winner.params == plan.space.default()[0]
    return [
        trial
        for trial in book.trials.values()
        if trial.ended
        and (
            (trial.stage in ("confirm", "promise") and trial.candidate == winner.id)
            or (same and trial.stage == "reference" and trial.candidate == REFERENCE)
        )
    ]


def failings(book: Book, trials: Sequence[Trial]) -> list[Failing]:
    """What detectors found in trials, failures first, then what most of them have."""
    found: dict[str, list[Finding]] = {}
    for trial in trials:
        line = ancestors(book, trial)
        before = [row for one in line for row in book.curve(one)]
        told = [finding for one in line for finding in book.trials[one].findings]
        for finding in diagnose_trial(trial, book.curve(trial.id), before, told).findings:
            found.setdefault(finding.detector, []).append(finding)
    told_of = [_failing(many, len(trials)) for many in found.values()]
    return sorted(told_of, key=lambda one: (one.severity != "failure", -one.trials, one.detector))


def _failing(many: Sequence[Finding], of: int) -> Failing:
    worst = max(many, key=lambda one: (one.severity == "failure", abs(one.value - one.threshold)))
    what, _, remedy = worst.words.partition(": ")
    name = worst.detector.replace("_", " ")
    most = ", at worst" if len(many) > 1 else ""
    return Failing(
        worst.detector,
        worst.severity,
        len(many),
        of,
        f"{name} in {len(many)} of {of} trials of it{most}: {what}",
        remedy,
    )
