"""What the failure detectors say of the trials of a run folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from curricula.component import foreign_names
from search.engine.attempts.collapse import Diagnosis, ancestors, diagnose_trial
from search.ledger.book import Book
from search.ledger.files import RUN_FILE
from search.ledger.reader import read_book
from search.ledger.storage import Place, place
from trm.diagnostics import diagnose, evidence
from trm.errors import UserError
from trm.report import ReportRow


def diagnose_book(book: Book) -> list[Diagnosis]:
    """The findings of every trial that has reported, by number."""
    found = []
    # Only stretches of a population go on from others, so only their curves are held.
    stretches: dict[int, Sequence[ReportRow]] = {}
    for number, rows in book.curves(evidence()):
        trial = book.trials[number]
        if trial.breeds:
            stretches[number] = rows
        line = ancestors(book, trial)
        before = [row for one in line for row in stretches.get(one, ())]
        told = [finding for one in line for finding in book.trials[one].findings]
        if rows:
            found.append(diagnose_trial(trial, rows, before, told))
    return found


def count_findings(diagnoses: Sequence[Diagnosis]) -> dict[str, int]:
    """How many trials have each finding, most frequent first."""
    counts = Counter(f.detector for one in diagnoses for f in one.findings)
    return dict(counts.most_common())


def diagnose_folder(folder: Place | str, trial: int | None = None) -> list[Diagnosis]:
    """The findings in a run folder of `trm sweep` or `trm train`.

    >>> {finding.detector for one in diagnose_folder(run) for finding in one.findings}
    {'flat_line'}

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


def _trained(folder: Path) -> Diagnosis:
    """The findings of a folder of `trm train`, or of a checkpoint within one."""
    from trm.checkpoint.head import read_head

    if (folder / "checkpoint.json").is_file():
        with foreign_names():
            head = read_head(folder)
        rows = head.values["counters"].get("history", [])
        return Diagnosis(None, "", tuple(diagnose(rows, head.config.diagnostics)))
    from trm.config import experiment_from
    from trm.files.yaml12 import read_yaml

    if not (folder / "reports.jsonl").is_file():
        raise UserError(
            f"{folder}: holds no training: give a folder of `trm sweep` or `trm train`, or a "
            "checkpoint"
        )
    lines = (folder / "reports.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.endswith("}")]
    with foreign_names():
        config = experiment_from(read_yaml(folder / "config.yaml")).diagnostics
    return Diagnosis(None, "", tuple(diagnose(rows, config)))
