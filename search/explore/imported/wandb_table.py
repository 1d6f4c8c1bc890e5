"""The table of a W&B sweep's runs, as its page exports it to CSV."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from search.explore.imported.foreign import ForeignRun, ForeignTrial, State, flat, number
from trm.errors import UserError
from trm.files.yaml12 import parse_value

_STATES: dict[str, State] = {
    "finished": "completed", "crashed": "crashed", "failed": "crashed", "killed": "stopped",
}  # fmt: skip

_OF_THE_RUN = (
    "Name", "ID", "State", "Notes", "User", "Tags", "Created", "Updated", "End Time", "Runtime",
    "Sweep", "Group", "Job Type", "Host", "Hostname", "GPU Count", "GPU Type", "Commit", "Project",
)  # fmt: skip
"""Columns that W&B has of every run."""


def read_table(source: Path, metric: str) -> ForeignRun:
    """A row a run: its state, what it was given, and the last value of each metric.

    Raises:
        UserError: no table, or one without the metric.
    """
    try:
        with source.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{source}: cannot be read as a table ({error}): export it again"
        ) from error
    columns = list(rows[0]) if rows else []
    if metric not in columns:
        shown = ", ".join(column for column in columns if column)[:300] or "nothing"
        raise UserError(
            f"{source}: has no column {metric!r}: name it with --metric; it has {shown}"
        )
    trials, unfinished = [], 0
    for index, row in enumerate(rows):
        state = _STATES.get((row.get("State") or "finished").lower())
        if state is None:
            unfinished += 1
            continue
        score = number(row[metric])
        if state == "completed" and score is None:
            state = "crashed"
        values = {
            name: _value(text)
            for name, text in row.items()
            if name and text and name not in _OF_THE_RUN and not name.startswith("_")
        }
        trials.append(
            ForeignTrial(
                name=row.get("Name") or f"row {index + 1}",
                params=flat({k: v for k, v in values.items() if k != metric}),
                state=state,
                score=score,
                seconds=number(row.get("Runtime")) or 0.0,
            )
        )
    return ForeignRun(f"W&B table {source}", trials, unfinished)


def _value(text: Any) -> Any:
    try:
        return parse_value(str(text), "cell")
    except UserError:
        return text
