"""A run on an object store: what is written into it, and what lies there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pyarrow.dataset as ds

from search.ledger.ledger import Ledger
from search.ledger.reader import read_curves, read_trials
from search.ledger.storage import Remote
from trm.report import COLUMNS

Uri = Callable[[str], str]


ZERO: dict[str, Any] = {"int": 0, "float": 0.0, "bool": False}


def row(mark: int) -> dict[str, Any]:
    return {
        **{name: ZERO[column.kind] for name, column in COLUMNS.items()},
        "mark": mark,
        "step": mark,
    }


def fill(ledger: Ledger, trials: int, marks: int) -> None:
    for _ in range(trials):
        trial = ledger.add_trial(
            stage="explore", params={"lr": 0.1}, config={"a": {"b": 1}}, seed=3
        )
        attempt = ledger.begin_attempt(trial.id)
        for mark in range(1, marks + 1):
            assert ledger.acknowledge(trial.id, attempt, row(mark), None, {"torch": "2"})
        if trial.id % 2 == 0:
            ledger.finish(trial.id, "completed", 0.5 + trial.id)


def stored(where: Remote) -> dict[str, Any]:
    """What a reader sees."""
    rows: dict[int, list[dict[str, Any]]] = {}
    trials = {number: asdict(trial) for number, trial in read_trials(where).items()}
    for number in trials:
        rows[number] = []
    for line in (
        read_curves(where).sort_by([("trial", "ascending"), ("mark", "ascending")]).to_pylist()
    ):
        rows[line["trial"]].append(line)
    return {"trials": trials, "curves": rows}


def assert_unique(where: Remote) -> None:
    for name, key in (("trials", ["id"]), ("curves", ["trial", "mark"])):
        path = (where / name).path
        table = ds.dataset(path, filesystem=where.filesystem).to_table().select(key).to_pydict()
        keys = list(zip(*table.values(), strict=True))
        assert len(keys) == len(set(keys)), name
