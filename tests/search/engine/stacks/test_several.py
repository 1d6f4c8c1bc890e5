"""A worker with several attempts of the TRM trainer: one model, and every trial its own."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import search.engine.worker
from search.engine.job import Job, build_trainer
from search.engine.worker import TrialRunner
from tests.search.engine.test_job import CONFIG
from trm.checkpoint.head import read_head
from trm.report import MACHINE_COLUMNS


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    return [
        Job(
            folder=str(tmp_path), trial=4 + n, attempt=1, config=CONFIG, seed=11 + n, budget=4e7,
            marks=(0.5, 1.0), cache=str(tmp_path / "cache"),
        )
        for n in range(3)
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    outside = SimpleNamespace(mode=None)
    node = SimpleNamespace(get_node_id=lambda: "here", worker=outside)
    monkeypatch.setattr(search.engine.worker.ray, "get_runtime_context", lambda: node)


def runner_of(jobs: Sequence[Job]) -> TrialRunner:
    first, *others = jobs
    runner = TrialRunner.__new__(TrialRunner)
    runner.setup({"job": dataclasses.replace(first, others=tuple(others)).to_json()})
    assert said(runner)["kind"] == "started"
    return runner


def said(runner: TrialRunner) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(runner.step()["message"])
    return message


def assert_same(row: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if name not in MACHINE_COLUMNS:
            same = row[name] == value
            assert same or row[name] == pytest.approx(value, rel=2e-3, abs=1e-3), name


def alone(job: Job) -> list[dict[str, Any]]:
    return [report.row() for report in build_trainer(job).run()]


def resumed(job: Job, mark: int, attempt: int = 2) -> Job:
    before = f"checkpoints/{job.trial}/1/{mark}"
    return dataclasses.replace(job, attempt=attempt, checkpoint=before)


def test_each_trial_reports_and_saves_what_it_would_alone(jobs: list[Job], tmp_path: Path) -> None:
    expected = {job.trial: alone(job) for job in jobs}
    runner = runner_of(jobs)
    found = [said(runner) for _ in range(6)]
    assert [(m["kind"], m["trial"], m["attempt"], m["last"]) for m in found] == [
        ("report", trial, 1, last) for last in (False, True) for trial in (4, 5, 6)
    ]
    for message in found:
        assert_same(message["row"], expected[message["trial"]][message["row"]["mark"] - 1])
        assert message["checkpoint"] == f"checkpoints/{message['trial']}/1/{message['row']['mark']}"
        assert read_head(tmp_path / message["checkpoint"]).config.train.seed == message["trial"] + 7
    for message in found[:3]:
        assert message["provenance"]["stack"] == [4, 5, 6]
        assert message["provenance"]["resolved"]["kernel_reason"] == "seeds are trained as one"
    assert not any("provenance" in message for message in found[3:])
    assert [n for n, message in enumerate(found) if "usage" in message] == [0, 5], "once a round"
    assert (tmp_path / "logs/5/1.txt").read_text() == (
        "is trained as one model with trial 4: what the process writes is in logs/4/1.txt\n"
    )
    # The process is used again, for one alone.
    assert runner.reset_config({"job": dataclasses.replace(jobs[0], trial=9).to_json()})
    message = said(runner)
    assert (message["trial"], message["kind"]) == (9, "report")
    assert "stack" not in message["provenance"]
    runner.cleanup()


def test_one_that_was_stacked_goes_on_alone_and_the_other_way_round(jobs: list[Job]) -> None:
    expected = {job.trial: alone(job) for job in jobs}
    runner = runner_of(jobs)
    for _ in range(3):
        said(runner)
    runner.drop(5)
    assert [said(runner)["trial"] for _ in range(2)] == [4, 6]
    runner.cleanup()
    [last] = [report.row() for report in build_trainer(resumed(jobs[1], 1)).run()]
    assert_same(last, expected[5][1])
    # One from its report, one from the same place after a stop, and one that begins.
    other = dataclasses.replace(jobs[2], attempt=2)
    runner = runner_of([resumed(jobs[0], 1, 3), dataclasses.replace(jobs[1], attempt=3), other])
    found = [said(runner) for _ in range(5)]
    assert [(m["trial"], m["row"]["mark"]) for m in found] == [
        (5, 1), (6, 1), (4, 2), (5, 2), (6, 2),
    ]  # fmt: skip
    for message in found:
        assert_same(message["row"], expected[message["trial"]][message["row"]["mark"] - 1])
    runner.cleanup()


def test_at_a_stop_each_is_saved_where_it_stands(jobs: list[Job], tmp_path: Path) -> None:
    expected = {job.trial: alone(job) for job in jobs}
    runner = runner_of(jobs)
    assert [said(runner)["kind"] for _ in range(3)] == ["report"] * 3
    assert runner._bell is not None
    runner._bell.rung = True
    found = [said(runner) for _ in range(3)]
    assert [(m["kind"], m["trial"], m["checkpoint"]) for m in found] == [
        ("saved", trial, f"checkpoints/{trial}/1/2") for trial in (4, 5, 6)
    ]
    steps = [read_head(tmp_path / m["checkpoint"]).values["counters"]["step"] for m in found]
    assert steps == [expected[4][0]["step"] + 1] * 3
    runner.cleanup()
    [last] = [report.row() for report in build_trainer(resumed(jobs[1], 2)).run()]
    assert_same(last, expected[5][1])


def test_an_error_is_said_of_the_process(jobs: list[Job], tmp_path: Path) -> None:
    broken = {**CONFIG, "model": {"hidden": 3}}
    runner = runner_of([dataclasses.replace(job, config=broken) for job in jobs])
    message = said(runner)
    assert (message["kind"], message["outcome"], message["trial"]) == ("end", "crashed", 4)
    assert "Traceback" in (tmp_path / "logs/4/1.txt").read_text()
    runner.cleanup()
