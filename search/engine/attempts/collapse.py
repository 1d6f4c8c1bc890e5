"""What the failure detectors say of one trial while its sweep goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.ledger.book import Book
from search.ledger.lineage import PARENT
from search.ledger.trial import Trial
from trm.detectors import DETECTORS
from trm.detectors.detector import Finding
from trm.diagnostics import DiagnosticsConfig, diagnose, recorded
from trm.report import ReportRow


@dataclass(frozen=True)
class Diagnosis:
    """One training's findings.

    Attributes:
        trial: its number; None for a folder of `trm train`.
        outcome: how it ended, empty while it has not.
        findings: what the detectors say.
    """

    trial: int | None
    outcome: str
    findings: tuple[Finding, ...]


def thresholds(config: Mapping[str, Any]) -> DiagnosticsConfig:
    """The `diagnostics` section of a config tree, or its defaults."""
    return recorded(config.get("diagnostics", {}))


def diagnose_trial(
    trial: Trial,
    rows: Sequence[ReportRow],
    before: Sequence[ReportRow] = (),
    told: Sequence[Mapping[str, Any]] = (),
) -> Diagnosis:
    """A trial's findings from its reports, by mark, and those of plug-ins' detectors as stored.

    Args:
        before: reports of the training that the trial goes on from; what they showed alone is no
            finding of this trial.
        told: findings that were stored with that training.
    """
    config = thresholds(trial.config)
    known = {(finding.detector, finding.severity) for finding in diagnose(before, config)}
    found = diagnose([*before, *rows], config)
    # A detector that is not here cannot be asked again.
    found += [Finding(**one) for one in trial.findings if one["detector"] not in DETECTORS]
    known |= {(one["detector"], one["severity"]) for one in told}
    own = tuple(one for one in found if (one.detector, one.severity) not in known)
    return Diagnosis(trial.id, trial.outcome or "", own)


def collapse_reason(book: Book, trial: Trial) -> str:
    """One line on why training ended as a failure, from its reports."""
    rows = [row for one in (*ancestors(book, trial), trial.id) for row in book.curve(one)]
    findings = diagnose_trial(trial, rows).findings
    told = [f for f in findings if f.detector in thresholds(trial.config).stop_on]
    told = told or [f for f in findings if f.detector == "late_collapse"] or list(findings)
    return f"{told[0].detector.replace('_', ' ')}: {told[0].words}" if told else "collapsed"


def ancestors(book: Book, trial: Trial) -> list[int]:
    """The trials whose training a stretch of a population goes on from, the first one first."""
    line: list[int] = []
    while trial.breeds and (parent := trial.params[PARENT]) is not None:
        line.insert(0, parent)
        trial = book.trials[parent]
    return line
