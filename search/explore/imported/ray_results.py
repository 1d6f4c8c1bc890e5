"""The folder of a Ray Tune experiment: `params.json` and `result.json` or `progress.csv` of each
trial. Ray's own state is pickled, and is not looked at."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from search.explore.imported.foreign import ForeignRun, ForeignTrial, State, flat, number
from trm.errors import UserError


def read_results(source: Path, metric: str) -> ForeignRun:
    """A trial a folder; its score is the metric's last value.

    Raises:
        UserError: no such folder, or one without the metric.
    """
    folders = sorted(path.parent for path in source.glob("*/params.json"))
    if not folders:
        raise UserError(
            f"{source}: holds no trials of Ray Tune (FOLDER/params.json): give the folder of the "
            "experiment"
        )
    trials, unfinished, seen = [], 0, set[str]()
    for folder in folders:
        rows = list(_rows(folder))
        seen.update(key for row in rows for key in row)
        failed = (folder / "error.txt").is_file()
        values = [
            (float(number(row.get("training_iteration")) or index + 1), value)
            for index, row in enumerate(rows)
            if (value := number(row.get(metric))) is not None
        ]
        if not values and not failed:
            unfinished += 1
            continue
        params = _params(folder)
        state: State = "crashed" if failed else "completed"
        trials.append(
            ForeignTrial(
                name=folder.name,
                params=params,
                state=state,
                score=values[-1][1] if values else None,
                curve=tuple(values),
                seconds=number(rows[-1].get("time_total_s")) or 0.0 if rows else 0.0,
            )
        )
    if seen and metric not in seen:
        shown = ", ".join(sorted(seen))[:300]
        raise UserError(f"{source}: no trial reports {metric!r}: --metric names one of {shown}")
    return ForeignRun(f"Ray Tune's results in {source}", _shortened(trials), unfinished)


def _shortened(trials: list[ForeignTrial]) -> list[ForeignTrial]:
    """A trial that ended before the longest did was stopped early: Ray does not say so."""
    longest = max((one.curve[-1][0] for one in trials if one.curve), default=0.0)
    return [
        ForeignTrial(**{**vars(one), "state": "pruned"})
        if one.state == "completed" and one.curve[-1][0] < longest
        else one
        for one in trials
    ]


def _params(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "params.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / 'params.json'}: cannot be read ({error})") from error
    return flat(found) if isinstance(found, dict) else {}


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    """The results of a trial; a line that was cut short is none."""
    try:
        if (folder / "result.json").is_file():
            for line in (folder / "result.json").read_text(encoding="utf-8").splitlines():
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                if isinstance(row, dict):
                    yield row
        elif (folder / "progress.csv").is_file():
            with (folder / "progress.csv").open(newline="", encoding="utf-8") as file:
                yield from csv.DictReader(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{folder}: its results cannot be read ({error})") from error
