"""Ray's memory monitor ends workers with an error that Tune does not survive; a sweep does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import ray
from ray.air.execution._internal import event_manager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.util import placement_group_table

from search.engine.attempts.guilt import MAX_DEATHS
from search.engine.events import NoEvents
from search.engine.job import Job, build_trainer
from search.engine.ray_tune import run_trials
from search.ledger.ledger import Ledger
from search.ledger.reader import read_curves, read_trials
from search.ledger.trial import Trial
from tests.support.folders import ROOT

MARKS = (0.25, 0.5, 0.75, 1.0)
FACTORY = "tests.support.toy_training:ToyTraining"


def sweep(ledger: Ledger, source: Any, **more: Any) -> None:
    values: dict[str, Any] = {"parallel": 2, "budget": 1e9, "marks": MARKS, **more}
    run_trials(source, ledger, path=[str(ROOT)], factory=FACTORY, **values)


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> Any:
    import tests.support.sources as module

    return module


class Monitor(NoEvents):
    """Kills the workers that a test names, and has Ray say that it was the memory monitor."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, when: tuple[int, int], deaths: int) -> None:
        self.workers: dict[int, int] = {}
        self.when, self.deaths, self.killed = when, deaths, 0
        self.gone: list[int] = []
        self.message = ""
        monkeypatch.setattr(event_manager, "ray", SimpleNamespace(get=self.get, wait=ray.wait))

    def started(self, trial: Trial, worker: str) -> None:
        self.workers[trial.id] = int(worker.rpartition(":")[2])
        if trial.id == self.when[0] and trial.mark >= self.when[1]:
            self.kill(trial)

    def ended(self, trial: Trial) -> None:
        del self.workers[trial.id]

    def reported(self, trial: Trial, row: Mapping[str, Any], score: float) -> None:
        if (trial.id, row["mark"]) == self.when:
            self.kill(trial)

    def kill(self, trial: Trial) -> None:
        if self.killed < self.deaths:
            self.killed += 1
            killed = "\n".join(
                f"Selected to kill: (Actor(ab): pid={pid}, "
                f"actual memory used={int(number == trial.id)}.50GB, worker ID=cd)"
                for number, pid in self.workers.items()
            )
            self.message = f"2 worker(s) were killed: the node running low on memory.\n{killed}"
            self.gone.append(self.workers[trial.id])
            os.kill(self.workers[trial.id], signal.SIGKILL)

    def get(self, future: Any) -> Any:
        try:
            return ray.get(future)
        except RayActorError as error:
            raise OutOfMemoryError(self.message) from error


def assert_undisturbed(ledger: Ledger, folder: Path) -> None:
    for trial in ledger.trials.values():
        config = {k: v for k, v in trial.config.items() if k in ("steps", "lr")}
        job = Job(str(folder), 0, 1, config, trial.seed, 1e9, MARKS, factory=FACTORY)
        expected = {r.mark: r.exact_accuracy for r in build_trainer(job).run()}
        curve = ledger.curve(trial.id)
        assert {row["mark"]: row["exact_accuracy"] for row in curve} == {
            row["mark"]: expected[row["mark"]] for row in curve
        }
        last = [row["mark"] for row in curve if row["attempt"] == trial.attempts]
        assert not last or trial.provenance["went_on_from"] == last[0] - 1


def groups() -> list[str]:
    return [str(g) for g, entry in placement_group_table().items() if entry["state"] != "REMOVED"]


def test_a_sweep_survives_the_memory_monitor(
    ray_cluster: Any,
    sources: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monitor = Monitor(monkeypatch, (1, 2), 1)
    with Ledger.create(tmp_path / "run") as ledger:
        sources.add_trials(ledger, [{"sleep": 0.6}, {"sleep": 0.3}, {}, {}])
        sweep(ledger, sources.FixedSource(ledger), events=monitor)
        trials = ledger.trials
        assert monitor.killed == 1
        assert [t.outcome for t in trials.values()] == ["completed"] * 4
        assert [(t.attempts, t.preempted) for t in trials.values()] == [
            (2, 1), (2, 1), (1, 0), (1, 0),
        ]  # fmt: skip
        assert_undisturbed(ledger, tmp_path)
        assert not groups()
        assert not (ledger.folder / "ray").exists()
        assert not any(map(psutil.pid_exists, monitor.gone))
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_who_eats_the_memory_is_given_up_and_its_neighbour_is_not(
    ray_cluster: Any, sources: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = Monitor(monkeypatch, (1, 0), 99)
    with Ledger.create(tmp_path / "run") as ledger:
        # The neighbour does not get to its first report before the other has died for good.
        sources.add_trials(ledger, [{"sleep": 20}, {}])
        sweep(ledger, sources.FixedSource(ledger), events=monitor, marks=(1.0,))
        eater, neighbour = ledger.trials[1], ledger.trials[0]
        assert (eater.outcome, eater.preempted) == ("oom", MAX_DEATHS + 1)
        assert eater.reason.startswith("worker died: 2 worker(s) were killed")
        assert "\n" not in eater.reason
        assert (neighbour.outcome, neighbour.preempted) == ("completed", MAX_DEATHS + 1)
        assert not groups()


DRIVER = """
import sys
from pathlib import Path
folder, here = Path(sys.argv[1]), sys.argv[2]
from cluster.connect import connected
from search.engine.ray_tune import run_trials
from search.ledger.ledger import Ledger
from tests.support.sources import FixedSource, add_trials
with Ledger.create(folder) as ledger, connected(cpus=2):
    add_trials(ledger, [{"sleep": 1}, {"eat": 9, "sleep": 0.5}, {}, {}])
    run_trials(
        FixedSource(ledger), ledger, parallel=2, budget=1e9, marks=(0.25, 0.5, 0.75, 1.0),
        path=[here], factory="tests.support.toy_training:ToyTraining",
    )
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Ray watches memory on Linux")
def test_a_sweep_survives_the_real_memory_monitor(tmp_path: Path) -> None:
    memory = psutil.virtual_memory()
    if memory.available < 12e9:
        pytest.skip("needs 12 GB of free memory")
    limit = (memory.total - memory.available + 3e9) / memory.total
    environment = {
        **os.environ,
        "RAY_memory_usage_threshold": f"{limit:.4f}",
        "RAY_memory_monitor_refresh_ms": "50",
    }
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "run"), str(ROOT)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    trials = read_trials(tmp_path / "run")
    assert [trial.outcome for trial in trials.values()] == ["completed"] * 4
    assert trials[1].preempted >= 1
    rows = read_curves(tmp_path / "run").to_pylist()
    assert sorted((row["trial"], row["mark"]) for row in rows) == [
        (trial, mark) for trial in range(4) for mark in (1, 2, 3, 4)
    ]
