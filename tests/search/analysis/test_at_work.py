"""A run folder that a driver holds: who, on what, for how long."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from search.analysis.status import status, status_text
from search.cli import main
from search.ledger.ledger import Ledger
from search.ledger.wall_clock import WallClock
from search.report.facts import read_facts
from search.report.headline import headline
from tests.support.damaged import unfinished_run

HOLDER = f"process {os.getpid()} is at work"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return unfinished_run(tmp_path / "run")


def test_nobody_is_at_work_in_a_folder_that_nobody_holds(run: Path) -> None:
    assert status(run)["at_work"] is None
    assert status_text(run).endswith(
        "no winner yet: no driver is at work; `trm sweep ... --resume` goes on"
    )
    assert not any("at work" in line for line in headline(read_facts(run)).missing[:-1])


def test_a_driver_is_named_with_what_it_does(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Ledger.open(run) as ledger:
        clock = WallClock(run)
        time.sleep(0.05)
        clock.save()
        (run / "time.json").write_text('{"wall_seconds": 300.0}')
        found = status(run)["at_work"]
        stages = [trial.stage for trial in ledger.trials.values()]
        assert stages == ["explore"] * 4
        assert (found["stage"], found["done"], found["running"], found["waiting"]) == (
            "explore", 1, 2, 1,
        )  # fmt: skip
        assert 300 <= found["elapsed"] < 330
        # Of 4 trials one ended, and the runs over fresh seeds are all to come.
        spent = sum(trial.compute for trial in ledger.trials.values())
        assert found["left"] > found["elapsed"] * ledger.trials[1].compute / spent
        text = status_text(run)
        assert f"{HOLDER}: explore, 2 running, 1 waiting, 1 done; 5 min" in text
        assert text.endswith("no winner yet: the sweep goes on")
        page = headline(read_facts(run))
        assert page.missing[0].startswith(f"When this was written, {HOLDER}: explore, 2 running")
        assert "--resume" not in page.missing[-1]
        # It looks, and takes nothing: the driver still writes.
        ledger.pause(0)
        assert status(run)["at_work"]["waiting"] == 2
        assert main(["status", str(run), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["at_work"]["running"] == 1
    assert status(run)["at_work"] is None


def test_a_driver_before_its_first_trial(tmp_path: Path, run: Path) -> None:
    for name in ("trials", "curves", "log", "checkpoints", "spare", "attempts"):
        if (run / name).exists():
            (run / name).rename(tmp_path / name)
    head = json.loads((run / "run.json").read_text())
    del head["ledger"], head["crc32"]
    (run / "run.json").write_text(json.dumps(head))
    with Ledger.create(run):
        found = status(run)["at_work"]
        assert (found["stage"], found["left"]) == ("starting", None)
        text = status_text(run)
        assert f"{HOLDER}: starting; " in text
        assert "so far, time left unknown" in text
