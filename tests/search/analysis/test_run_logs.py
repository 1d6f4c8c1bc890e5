"""`trm logs`: what happened in time order, and all of one trial, with what its attempts wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.analysis.run_logs import run_events, trial_story
from search.cli import main
from search.engine.output import WorkerOutput, output_file
from search.engine.presence import present_in
from search.ledger.ledger import Ledger
from search.ledger.storage import Place, place
from search.logs.console import warn
from search.logs.driver_log import DRIVER_LOGS, driver_log
from trm.report import COLUMNS

Uri = Callable[[str], str]
ZERO: dict[str, Any] = {"int": 0, "float": 0.0, "bool": False}


@pytest.fixture(params=["disk", "bucket"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "disk":
        return tmp_path / "run"
    uri: Uri = request.getfixturevalue("uri")
    return place(uri("run"))


def row(mark: int) -> dict[str, Any]:
    zero = {name: ZERO[column.kind] for name, column in COLUMNS.items()}
    return {**zero, "mark": mark, "step": 10 * mark, "progress": mark / 4}


def drive(run: Place) -> None:
    """Two trials: one lost an attempt and completed, one crashed."""
    with (
        Ledger.create(run) as ledger,
        present_in(run) as presence,
        driver_log(run, presence) as log,
    ):
        for seed in (0, 1):
            ledger.add_trial(stage="explore", params={"lr": 0.1}, config={"a": 1}, seed=seed)
        first, second = ledger.trials.values()
        for attempt in (1, 2):
            ledger.begin_attempt(0)
            log.started(first, f"host-{attempt}:17")
            ledger.acknowledge(0, attempt, row(attempt), None, {"torch": "2"})
            if attempt == 1:
                ledger.preempt(0, 1, "its node died", cause="node", host="host-1", repeated=3.0)
        log.paused(first)
        warn("the machine is busy")
        ledger.finish(0, "completed", 0.5)
        ledger.begin_attempt(1)
        log.started(second, "host-2:18")
        output = WorkerOutput()
        output.begin(output_file(run, 1, 1))
        output.note(
            "before\nTraceback (most recent call last):\n  File x\nValueError: no\n\nafter\n"
        )
        ledger.finish(1, "crashed", 0.0, "ValueError: no")


def test_events_in_time_order(run: Place, capsys: pytest.CaptureFixture[str]) -> None:
    drive(run)
    events = run_events(run)
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert sorted((event.kind, event.trial) for event in events if event.trial is not None) == [
        ("begun", 0), ("begun", 0), ("begun", 1), ("ended", 0), ("ended", 1), ("lost", 0),
        ("paused", 0),
    ]  # fmt: skip
    assert [event.text for event in events if event.kind == "warning"] == ["the machine is busy"]
    mine = [event.text for event in events if event.kind == "driver"]
    assert [text.partition(" on ")[0] for text in mine] == [f"driver {os.getpid()}"] * 2
    assert mine[1].endswith(" is done")
    capsys.readouterr()
    assert main(["logs", str(run)]) == 0
    printed = capsys.readouterr().out
    assert "trial 0: goes on (attempt 2) on host-2:17: explore, candidate 0, seed 0\n" in printed
    assert "trial 0: attempt 1 on host-1 was lost (node: its node died); 3 s of work" in printed
    assert "warning: the machine is busy\n" in printed
    assert "trial 1: crashed: ValueError: no\n" in printed
    assert main(["logs", str(run), "--tail", "2", "--json", "--follow"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == [e.kind for e in events[-2:]]


def test_all_of_a_trial(run: Place, capsys: pytest.CaptureFixture[str]) -> None:
    drive(run)
    story = trial_story(run, 1)
    assert story.output[1].startswith("before\nTraceback")
    assert story.trace == "Traceback (most recent call last):\n  File x\nValueError: no"
    capsys.readouterr()
    assert main(["logs", str(run), "1"]) == 0
    printed = capsys.readouterr().out
    assert "trial 1: explore, candidate 1, seed 1: crashed: ValueError: no\n  lr=0.1\n" in printed
    assert "attempt 1 wrote:\n  before\n  Traceback (most recent call last):\n" in printed
    assert main(["logs", str(run), "1", "--tail", "1"]) == 0
    printed = capsys.readouterr().out
    assert "attempt 1 wrote:\n  after\n" in printed
    assert printed.endswith("what it failed by:\n  " + story.trace.replace("\n", "\n  ") + "\n")
    assert main(["logs", str(run), "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [report["mark"] for report in found["reports"]] == [1, 2]
    assert (found["output"], found["trace"]) == ({}, "")
    assert main(["logs", str(run), "2"]) == 2
    assert "trial: 2 is not there: there are 0 to 1" in capsys.readouterr().err
    assert main(["logs", str(run), "last"]) == 2
    assert main(["logs", str(run) + "-other"]) == 2


def test_logs_that_are_damaged_or_full_say_the_rest(tmp_path: Path) -> None:
    run = tmp_path / "run"
    drive(run)
    [file] = (run / "logs" / DRIVER_LOGS).iterdir()
    lines = file.read_text().splitlines()
    file.write_text("\n".join(["{", "[]", '{"at": 3}', *lines[:2], lines[2][:20]]))
    (run / "logs" / "old").mkdir()
    kinds = [event.kind for event in run_events(run)]
    assert (kinds.count("driver"), kinds.count("ended"), kinds.count("lost")) == (1, 2, 1)
    # A trial that no driver's log tells of begins as the ledger has it.
    assert kinds.count("begun") == 2
    with Ledger.open(run), present_in(run) as presence, driver_log(run, presence) as log:
        assert isinstance(log._kept.file, Path)
        log._kept.file.unlink()
        log._kept.file.mkdir()
        log.warned("that nobody can store")


def test_what_comes_is_followed_until_the_driver_has_gone(tmp_path: Path) -> None:
    run = tmp_path / "run"
    drive(run)
    with Ledger.open(run), present_in(run) as presence, driver_log(run, presence) as log:
        command = [sys.executable, "-m", "search.cli", "logs", str(run), "--follow", "--tail", "1"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline()
        log.warned("something new")
        assert "warning: something new" in process.stdout.readline()
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "is done" in rest
