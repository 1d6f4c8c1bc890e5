"""What the failure detectors say of the trials of a run folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.book import Book
from search.ledger import Trial, read_book
from search.place import Place, place
from search.plan import RUN_FILE
from search.population import PARENT
from trm.component import validate
from trm.detectors.finding import Finding, Row
from trm.diagnostics import EVIDENCE, diagnose
from trm.errors import UserError
from trm.thresholds import DiagnosticsConfig


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
    return validate(DiagnosticsConfig, config.get("diagnostics", {}), "diagnostics")


def diagnose_trial(trial: Trial, rows: Sequence[Row], before: Sequence[Row] = ()) -> Diagnosis:
    """A trial's findings from its reports, by mark.

    Args:
        before: reports of the training that the trial goes on from; what they showed alone is no
            finding of this trial.
    """
    config = thresholds(trial.config)
    known = {(finding.detector, finding.severity) for finding in diagnose(before, config)}
    found = diagnose([*before, *rows], config)
    own = tuple(one for one in found if (one.detector, one.severity) not in known)
    return Diagnosis(trial.id, trial.outcome or "", own)


def collapse_reason(book: Book, trial: Trial) -> str:
    """One line on why training ended as a failure, from its reports."""
    rows = [row for one in (*_ancestors(book, trial), trial.id) for row in book.curve(one)]
    findings = diagnose_trial(trial, rows).findings
    told = [f for f in findings if f.detector in thresholds(trial.config).stop_on]
    told = told or [f for f in findings if f.detector == "late_collapse"] or list(findings)
    return f"{told[0].detector.replace('_', ' ')}: {told[0].words}" if told else "collapsed"


def diagnose_book(book: Book) -> list[Diagnosis]:
    """The findings of every trial that has reported, by number."""
    found = []
    # Only stretches of a population go on from others, so only their curves are held.
    stretches: dict[int, Sequence[Row]] = {}
    for number, rows in book.curves(EVIDENCE):
        trial = book.trials[number]
        if trial.stage == "population":
            stretches[number] = rows
        before = [row for one in _ancestors(book, trial) for row in stretches.get(one, ())]
        if rows:
            found.append(diagnose_trial(trial, rows, before))
    return found


def count_findings(diagnoses: Sequence[Diagnosis]) -> dict[str, int]:
    """How many trials have each finding, most frequent first."""
    counts = Counter(f.detector for one in diagnoses for f in one.findings)
    return dict(counts.most_common())


def diagnose_folder(folder: Place | str, trial: int | None = None) -> list[Diagnosis]:
    """The findings in a run folder of `trm sweep` or `trm train`.

    Args:
        trial: this trial alone.

    Raises:
        UserError: the folder holds neither, or has no such trial.
    """
    where = place(folder)
    if (where / RUN_FILE).is_file():
        diagnoses = diagnose_book(read_book(where))
        if trial is None:
            return diagnoses
        chosen = [one for one in diagnoses if one.trial == trial]
        if not chosen:
            raise UserError("--trial", trial, f"has no reports in {folder}: see `trm status`")
        return chosen
    if trial is not None:
        raise UserError("--trial", trial, f"{folder} holds no sweep: leave it out")
    return [_trained(Path(str(folder)))]


def _ancestors(book: Book, trial: Trial) -> list[int]:
    """The trials whose training a stretch of a population goes on from, the first one first."""
    line: list[int] = []
    while trial.stage == "population" and (parent := trial.params[PARENT]) is not None:
        line.insert(0, parent)
        trial = book.trials[parent]
    return line


def _trained(folder: Path) -> Diagnosis:
    """The findings of a folder of `trm train`, or of a checkpoint within one."""
    from trm.checkpoint import read_head

    if (folder / "checkpoint.json").is_file():
        head = read_head(folder)
        rows = head.values["counters"].get("history", [])
        return Diagnosis(None, "", tuple(diagnose(rows, head.config.diagnostics)))
    from trm.config import experiment_from
    from trm.yaml12 import read_yaml

    if not (folder / "reports.jsonl").is_file():
        raise UserError(
            f"{folder}: holds no training: give a folder of `trm sweep` or `trm train`, or a "
            "checkpoint"
        )
    lines = (folder / "reports.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.endswith("}")]
    config = experiment_from(read_yaml(folder / "config.yaml")).diagnostics
    return Diagnosis(None, "", tuple(diagnose(rows, config)))
