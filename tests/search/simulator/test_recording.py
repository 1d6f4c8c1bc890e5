"""Recordings: what a run folder holds, the file, and which config a suggestion stands for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from search.config.plan import write_plan
from search.ledger.book import Book
from search.ledger.ledger import Ledger
from search.simulator.recording import Recording, read_recording, write_recording
from search.space.space import Space
from tests.support.planned import planned
from tests.support.recordings import TREE, made_up, row
from trm.errors import UserError


def distance(recording: Recording, one: dict[str, Any], other: dict[str, Any]) -> float:
    """The documented distance, one parameter after the other."""
    total = 0.0
    for name, distribution in recording.space.parameters.items():
        if (name in one) != (name in other):
            total += 1
        elif name in one and name == "optimizer":
            total += one[name] != other[name]
        elif name in one:
            low, high = distribution.low, distribution.high  # type: ignore[union-attr]
            a, b = one[name], other[name]
            if name.endswith("lr"):
                low, high, a, b = (math.log(value) for value in (low, high, a, b))
            total += ((a - b) / (high - low)) ** 2
    return total


def test_a_suggestion_stands_for_the_nearest_config() -> None:
    recording = made_up(configs=60, seeds=1)
    rng = np.random.default_rng(5)
    for _ in range(200):
        params, _ = Space.parse(TREE).sample(rng)
        distances = [distance(recording, params, known) for known in recording.params]
        assert recording.nearest(params) == int(np.argmin(distances))
    for config, params in enumerate(recording.params):
        assert recording.nearest(params) == config


def test_a_parameter_that_only_one_has_is_as_far_as_can_be() -> None:
    low = {"model.L_cycles": 1, "optimizer": "adamw", "optimizer[adamw].lr": 1e-4}
    high = {"model.L_cycles": 6, "optimizer": "adamw", "optimizer[adamw].lr": 1e-1}
    other = {
        "model.L_cycles": 1, "optimizer": "adam_atan2", "optimizer[adam_atan2].weight_decay": 0.0
    }  # fmt: skip
    recording = Recording(TREE, [other, high], (0,), {}, 0.0, None)
    # 2 for both ends of two ranges; 3 for the option and what either has alone.
    assert recording.nearest(low) == 1


def test_of_equally_near_configs_the_first_one_counts() -> None:
    one = made_up(configs=3, seeds=1)
    twice = Recording(TREE, [*one.params, *one.params], (0,), {}, 0.0, None)
    assert [twice.nearest(params) for params in one.params] == [0, 1, 2]


def test_a_file_holds_what_was_recorded(tmp_path: Path) -> None:
    recording = made_up(configs=40, seeds=3)
    write_recording(tmp_path / "r.parquet", recording)
    again = read_recording(tmp_path / "r.parquet")
    assert again.tree == recording.tree
    assert again.params == recording.params
    assert (again.seeds, again.floor, again.examples) == (recording.seeds, 0.0, 400)
    assert again.runs.keys() == recording.runs.keys()
    for key, run in recording.runs.items():
        assert again.runs[key].outcome == run.outcome
        for mine, theirs in zip(again.runs[key].rows, run.rows, strict=True):
            assert mine["compute"] == theirs["compute"]
            for name in ("mark", "step", "diverged"):
                assert mine[name] == theirs[name]
            for name in ("progress", "seconds", "exact_accuracy"):
                assert mine[name] == pytest.approx(theirs[name], rel=1e-6)
    flat = pq.read_table(tmp_path / "r.parquet")
    assert {"candidate", "seed", "params", "exact_accuracy"} <= set(flat.column_names)


def ended(
    book: Book, stage: Any, params: dict[str, Any], seed: int, candidate: int | None,
    outcome: Any = "completed", marks: int = 3,
) -> int:  # fmt: skip
    trial = book.add_trial(stage=stage, params=params, config={}, seed=seed, candidate=candidate)
    attempt = book.begin_attempt(trial.id)
    for mark in range(1, marks + 1):
        book.acknowledge(trial.id, attempt, row(mark, mark / 3, mark / 10))
    if outcome:
        book.finish(trial.id, outcome, 0.1)
    return trial.id


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five configs: three with both seeds, one pruned, one whose second seed still runs."""
    plan = planned(TREE)
    rng = np.random.default_rng(1)
    with Ledger.create(tmp_path / "run") as ledger:
        write_plan(tmp_path / "run", plan)
        drawn = [plan.space.sample(rng)[0] for _ in range(12)]
        for number, params in enumerate(drawn):
            pruned = number == 1
            ended(ledger, "explore", params, 0, None, "pruned" if pruned else "completed")
        for number in (0, *range(2, 10)):
            ended(
                ledger,
                "confirm",
                drawn[number],
                1,
                number,
                "diverged" if number == 3 else "completed",
            )
        ended(ledger, "confirm", drawn[10], 1, 10, None, marks=1)
    return tmp_path / "run"


def test_a_run_folder_counts_as_far_as_its_runs_ended(folder: Path) -> None:
    recording = read_recording(folder)
    assert recording.seeds == (0, 1)
    assert len(recording.params) == 9
    assert recording.dropped == 2
    assert recording.runs[2, 1].outcome == "diverged"
    assert [r["mark"] for r in recording.runs[1, 1].rows] == [1, 2, 3]
    assert recording.examples == 10


def test_marks_take_the_first_report_at_or_past_them() -> None:
    run = made_up(configs=1, seeds=1).runs[0, 0]
    assert [r["mark"] for r in run.reports((1 / 9, 1 / 3, 1.0))] == [2, 4, 12]
    assert [r["mark"] for r in run.reports((0.5, 0.51, 0.55, 1.0))] == [6, 7, 12]


@pytest.mark.parametrize(
    ("name", "message"),
    [("nothing", "check the path"), ("text", "is no recording"), ("other", "is no recording")],
)
def test_what_is_no_recording(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "text").write_text("no Parquet")
    pq.write_table(pq.read_table(_any_parquet(tmp_path)), tmp_path / "other")
    with pytest.raises(UserError, match=message):
        read_recording(tmp_path / name)


def _any_parquet(folder: Path) -> Path:
    import pyarrow as pa

    pq.write_table(pa.table({"a": [1]}), folder / "a.parquet")
    return folder / "a.parquet"
