"""A run folder that a driver holds: who, on what, for how long."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from cluster.packing import Packing, Probed
from search.analysis.status import status, status_text
from search.cli import main
from search.engine.packing.packings import PACKING_FILE, DeviceClass, Packings
from search.ledger.book import Book
from search.ledger.ledger import Ledger
from search.ledger.trial import StageName
from search.ledger.wall_clock import WallClock
from search.objectives.outcome import Outcome
from search.report.facts import read_facts
from search.report.headline import headline
from search.sweep.time_left import seconds_left
from tests.support.damaged import unfinished_run
from tests.support.planned import planned

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


TREE: dict[str, Any] = {
    "name": "left",
    "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 40,
             "valid_examples": 10, "test_examples": 10},
    "model": {"hidden_size": 16, "num_heads": 2, "L_cycles": {"int": [1, 6]}},
    "train": {"budget": {"steps": 10}, "reports": 2},
    "search": {"trials": 16, "scheduler": {"name": "asha", "min_share": 0.4, "eta": 4}},
    "stability": {"candidates": 2, "seeds": 2, "racing": False, "promise_seeds": 3},
}  # fmt: skip
SECONDS = 50.0
"""Of a whole training."""


def test_the_time_left_is_of_the_order_of_the_truth_from_the_first_report_on() -> None:
    plan, book = planned(TREE), Book()

    def begun(stage: StageName, share: float, ended: Outcome | None = None) -> None:
        trial = book.add_trial(stage=stage, params={}, config={}, seed=0)
        book.begin_attempt(trial.id)
        row = {"mark": 1, "compute": share * plan.budget, "seconds": share * SECONDS}
        if share:
            book.acknowledge(trial.id, 1, row)
        if ended:
            book.finish(trial.id, ended, 0.5)

    assert seconds_left(plan, book, 30.0, 2) is None
    # The start took half a minute; one of two has come to the first rung, the other nearly so.
    begun("explore", 0.4)
    begun("explore", 0.0)
    truth = (16 * 0.55 + 4 + 6 - 0.8) * SECONDS / 2
    early = seconds_left(plan, book, 50.0, 2)
    assert early is not None
    assert truth / 1.2 < early < 1.2 * truth
    unsaid = seconds_left(plan, book, 50.0, 0)
    assert unsaid is not None
    assert unsaid > 4 * truth  # the pace of all that has passed is that of the start
    # A run of the reference recipe beside the search takes nothing from what the search has left.
    begun("reference", 0.1)
    beside = seconds_left(plan, book, 60.0, 2)
    assert beside is not None
    assert truth / 1.3 < beside < early
    for _ in range(14):
        begun("explore", 0.4, "pruned")
    begun("confirm", 0.0)
    late = seconds_left(plan, book, 300.0, 2)
    assert late is not None
    assert late == pytest.approx((4 + 6 - 0.1) * SECONDS / 2)


def test_how_many_trials_share_a_gpu_is_said_with_the_figures(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(run)["packing"] == []
    probes = (Probed(1, 10.0, 3e9), Probed(2, 19.0, 6e9))
    found = DeviceClass("A100", 40e9, 2, Packing(2, probes, "no more than 2 were to be tried"))
    Packings(run).keep(found)
    assert f"\n  {found.text()}\n" in status_text(run)
    assert "steps/s of 1: 10 (3.00 GB), 2: 19 (6.00 GB)" in found.text()
    assert status(run)["packing"][0]["packing"]["copies"] == 2
    assert main(["status", str(run), "--check"]) == 0
    assert "packing.json" in capsys.readouterr().out
    path = run / PACKING_FILE
    path.write_text(path.read_text()[:-9])
    assert main(["status", str(run), "--repair"]) == 0
    assert "packing.json" in capsys.readouterr().out
    assert status(run)["packing"] == []
