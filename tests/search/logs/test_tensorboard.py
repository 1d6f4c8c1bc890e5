"""Event files, read back with TensorBoard's own reader."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from search.config.sinks import LoggedRun, RunEnd
from search.logs.tensorboard import TensorBoardSink

RUN = LoggedRun(
    "4", "study-4", "explore-00004", "study", "explore",
    params={"optimizer.lr": 0.01, "model.H_cycles": 2, "curriculum": "cgar", "ema": None},
    started=1000.0,
)  # fmt: skip


def row(mark: int) -> dict[str, Any]:
    return {
        "mark": mark, "step": 10 * mark, "seconds": 2.0 * mark, "exact_accuracy": 0.25 * mark,
        "train_loss": math.nan, "diverged": False,
    }  # fmt: skip


def read(folder: Path) -> EventAccumulator:
    reader = EventAccumulator(str(folder))
    reader.Reload()
    return reader


def points(reader: EventAccumulator, tag: str) -> list[tuple[float, int, float]]:
    return [(event.wall_time, event.step, event.value) for event in reader.Scalars(tag)]


def test_every_column_is_a_scalar_at_its_step(tmp_path: Path) -> None:
    sink = TensorBoardSink(tmp_path)
    sink.begin(RUN)
    sink.add("4", row(1))
    # A report is there to be seen while the run goes on.
    assert points(read(tmp_path / "explore-00004"), "exact_accuracy") == [(1002.0, 10, 0.25)]
    sink.add("4", row(2))
    sink.end("4", RunEnd("completed", 0.5, "", failed=False))
    sink.close()
    reader = read(tmp_path / "explore-00004")
    assert set(reader.Tags()["scalars"]) == {*row(1), "score"}
    assert points(reader, "exact_accuracy") == [(1002.0, 10, 0.25), (1004.0, 20, 0.5)]
    assert points(reader, "score") == [(1004.0, 20, 0.5)]
    assert math.isnan(reader.Scalars("train_loss")[0].value)


def test_drawn_values_stand_in_the_hparams_tab(tmp_path: Path) -> None:
    sink = TensorBoardSink(tmp_path)
    sink.begin(RUN)
    sink.end("4", RunEnd("crashed", None, "boom", failed=True))
    sink.close()
    metadata = read(tmp_path / "explore-00004").SummaryMetadata("_hparams_/session_start_info")
    start = HParamsPluginData.FromString(metadata.plugin_data.content).session_start_info
    values = {
        name: getattr(value, str(value.WhichOneof("kind"))) for name, value in start.hparams.items()
    }
    assert values == {
        "optimizer.lr": 0.01, "model.H_cycles": 2.0, "curriculum": "cgar", "ema": "None",
        "stage": "explore", "outcome": "crashed",
    }  # fmt: skip


@pytest.mark.parametrize("stopped", ["suspended", "killed", "cut off", "at the end"])
def test_a_run_that_is_begun_again_shows_each_row_once(tmp_path: Path, stopped: str) -> None:
    folder, done = tmp_path / "explore-00004", RunEnd("completed", 0.75, "", failed=False)
    watcher = EventAccumulator(str(folder))
    first = TensorBoardSink(tmp_path)
    first.begin(RUN)
    first.add("4", row(1))
    first.add("4", row(2))
    if stopped == "suspended":
        first.end("4", None)
    elif stopped == "cut off":
        (path,) = folder.iterdir()
        os.truncate(path, path.stat().st_size - 5)
    elif stopped == "at the end":
        first.add("4", row(3))
        first.end("4", done)
    watcher.Reload()
    second = TensorBoardSink(tmp_path)
    second.begin(RUN)
    for mark in (1, 2, 3):
        second.add("4", row(mark))
    second.end("4", done)
    watcher.Reload()
    for reader in (read(folder), watcher):
        assert [event.step for event in reader.Scalars("exact_accuracy")] == [10, 20, 30]
        assert points(reader, "score") == [(1006.0, 30, 0.75)]


def test_several_runs_are_open_at_once(tmp_path: Path) -> None:
    sink = TensorBoardSink(tmp_path)
    for key in "45":
        sink.begin(LoggedRun(key, key, f"explore-{key}", "study", "explore"))
    for mark in (1, 2):
        for key in "45":
            sink.add(key, row(mark))
    sink.close()
    for key in "45":
        scalars = read(tmp_path / f"explore-{key}").Scalars("exact_accuracy")
        assert [event.step for event in scalars] == [10, 20]
