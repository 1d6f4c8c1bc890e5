"""What an autoscaler is asked for, and sweeps on clusters that begin without a worker."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from cluster.connect import Cluster
from cluster.demand import MOST, Demand
from search.ledger.reader import read_book
from search.logs.driver_log import read_driver_logs
from tests.support.autoscaled import autoscaled
from tests.support.on_nodes import Sweep
from trm.files.driver_note import LocalFiles, read_note

TRM = str(Path(sys.executable).with_name("trm"))


def test_a_demand_waits_until_it_is_taken_back(ray_cluster: Cluster) -> None:
    demand = Demand({"CPU": 99.0}, lambda: True)
    for wanted, waits in ((3, 3), (1, 1), (10**6, MOST), (0, 0), (-5, 0)):
        demand.want(wanted, barred=["0" * 56])
        assert len(demand._waiting) == waits


def test_nothing_is_asked_where_nobody_brings_nodes(ray_cluster: Cluster) -> None:
    demand = Demand({"CPU": 99.0})
    demand.want(3)
    assert not demand.heard()
    assert not demand._waiting


def test_an_autoscaler_may_begin_after_the_sweep() -> None:
    clock, here, asked = [0.0], [False], []

    def scales() -> bool:
        asked.append(clock[0])
        return here[0]

    demand = Demand({"CPU": 1.0}, scales, lambda: clock[0])
    for clock[0] in (0.0, 1.0, 2.0, 6.0):
        assert not demand.heard()
    assert asked == [0.0, 6.0], "it is not asked all the time"
    here[0], clock[0] = True, 30.0
    assert demand.heard()
    here[0], clock[0] = False, 60.0
    assert demand.heard()
    never = Demand({"CPU": 1.0}, scales, lambda: clock[0])
    here[0], clock[0] = True, 1000.0
    assert not never.heard()


@pytest.fixture(scope="module", params=["v1", "v2"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a head without cores, which up to three workers of two cores may join."""
    version: Literal["v1", "v2"] = request.param
    with autoscaled(version, {"small": {"CPU": 2}}) as address:
        yield address


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_sweep_brings_its_nodes(address: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [TRM, "sweep", "arrows4", "--address", address, "--out", str(run), "--trials", "6",
               "--set", "train.budget.steps=150", "--set", "stability.seeds=1",
               "--set", "stability.promise_seeds=2"]  # fmt: skip
    at_once, end = 0, time.monotonic() + 550
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as driver:
        while driver.poll() is None and time.monotonic() < end:
            note = read_note(LocalFiles(run)) if run.exists() else None
            workers = note.told.get("workers", ()) if note is not None else ()
            assert isinstance(workers, list | tuple)
            at_once = max(at_once, len(workers))
            time.sleep(0.5)
        driver.terminate()
        errors = driver.communicate()[1]
    assert driver.returncode == 0, errors
    assert at_once >= 2
    trials = read_book(run).trials.values()
    assert {trial.outcome for trial in trials} <= {"completed", "pruned"}
    assert len(trials) >= 6 + 1 + 2
    assert (run / "best.yaml").exists()
    # The first node may be there already: the autoscaler was asked before the run folder was made.
    awaited = {event.text for event in read_driver_logs(run) if event.kind == "warning"}
    assert awaited <= {
        "no node has 1 CPU core and no GPUs for a trial: waits for the autoscaler to bring one "
        "(`ray status` has what it does); cluster.gpus_per_trial asks it for GPUs"
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nodes_that_idle_away_come_again_and_nothing_is_lost(address: str, tmp_path: Path) -> None:
    # One long trial keeps a node; the others idle away before a second sweep wants them.
    first = Sweep(tmp_path / "first", address, [{"sleep": 0.5}] * 5 + [{"sleep": 15.0}])
    assert first.wait(500) == 0, first.errors
    second = Sweep(tmp_path / "second", address, [{"sleep": 1.0}] * 8)
    assert second.wait(500) == 0, second.errors
    for sweep in (first, second):
        book = read_book(sweep.folder)
        assert {trial.outcome for trial in book.trials.values()} == {"completed"}
        assert not book.attempts, "no trial was on a node that was taken away"
        assert max(line["resized"] for line in sweep.said("resized")) >= 4


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_the_autoscaler_could_never_bring(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with autoscaled("v2", {"small": {"CPU": 2}}) as address:
        command = [TRM, "sweep", "arrows4", "--address", address, "--out", str(run)]
        for setting, said in (
            ("cluster.cpus_per_trial=3", "cpus_per_trial: 3 no kind of node that the autoscaler"),
            ("cluster.gpus_per_trial=1", "gpus_per_trial: 1.0 no kind of node that the autoscal"),
        ):
            done = subprocess.run(
                [*command, "--set", setting], capture_output=True, text=True, timeout=150
            )
            assert done.returncode == 2, done.stderr
            assert done.stderr.startswith(f"trm: error: cluster.{said}"), done.stderr
            assert done.stderr.count("\n") == 1
            assert not run.exists()
