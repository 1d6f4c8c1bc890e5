"""Workers outlive stages, on a real Ray; one that dies while it is idle costs an attempt alone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray.tune.utils.object_cache import _ObjectCache

from search.engine import idle_workers
from search.engine.idle_workers import IdleWorkers
from search.engine.ray_tune import run_trials
from search.ledger.ledger import Ledger
from search.ledger.trial import Trial
from tests.support.folders import ROOT
from tests.support.sources import FixedSource, add_trials

FACTORY = "tests.support.meeting_training:MeetingTraining"


class Staged(FixedSource):
    """Gives each stage's trials once all before have ended, and a moment has passed."""

    def __init__(self, ledger: Ledger, stages: Sequence[int], between: Callable[[], None]) -> None:
        super().__init__(ledger)
        self._later, self._between = [*stages], between
        self._given, self._opened = 0, self._later.pop(0)
        self._opens_at: float | None = None

    def next(self) -> Trial | None:
        if self._given == self._opened:
            if len(self.ended) < self._given or not self._later:
                return None
            if self._opens_at is None:
                self._opens_at = time.monotonic() + 0.5
                self._between()
            if time.monotonic() < self._opens_at:
                return None
            self._opened += self._later.pop(0)
            self._opens_at = None
        self._given += 1
        return super().next()


class Workers:
    """Remembers which process had which trial."""

    def __init__(self) -> None:
        self.of: list[tuple[int, int]] = []

    def started(self, trial: Trial, worker: str) -> None:
        self.of.append((trial.id, int(worker.rpartition(":")[2])))

    def reported(self, trial: Trial, row: Any, score: float) -> None: ...
    def paused(self, trial: Trial) -> None: ...
    def ended(self, trial: Trial) -> None: ...

    @property
    def pids(self) -> set[int]:
        return {pid for _, pid in self.of}


def run_in_stages(
    folder: Path, stages: Sequence[int], workers: Workers, between: Callable[[], None]
) -> Ledger:
    with Ledger.create(folder) as ledger:
        add_trials(ledger, [{}] * sum(stages))
        run_trials(
            Staged(ledger, stages, between), ledger, parallel=2, budget=1e9, marks=(0.5, 1.0),
            path=[str(ROOT)], factory=FACTORY, events=workers,
        )  # fmt: skip
        assert {trial.outcome for trial in ledger.trials.values()} == {"completed"}
        return ledger


def test_a_slot_starts_one_worker_for_all_stages(ray_cluster: Any, tmp_path: Path) -> None:
    workers = Workers()
    run_in_stages(tmp_path / "run", (2, 2, 1, 2), workers, lambda: None)
    assert len(workers.of) == 7
    assert len(workers.pids) == 2
    # They held what others may want, and end with the run.
    until = time.monotonic() + 10.0
    while any(psutil.pid_exists(pid) for pid in workers.pids) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(psutil.pid_exists(pid) for pid in workers.pids)


def test_one_that_died_while_idle_costs_an_attempt(ray_cluster: Any, tmp_path: Path) -> None:
    workers = Workers()
    killed: list[int] = []

    def kill() -> None:
        if not killed:
            killed.extend(workers.pids)
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    ledger = run_in_stages(tmp_path / "run", (2, 2), workers, kill)
    assert len(killed) == 2
    assert len(workers.pids) >= 3
    lost = [one for many in ledger.attempts.values() for one in many]
    assert {(one.cause, one.outcome) for one in lost} == {("worker", "preempted")}
    assert {one.pid for one in lost} <= set(killed)
    assert all("before" in one.reason for one in lost)


def test_nobody_is_kept_who_is_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(idle_workers.time, "monotonic", lambda: now)
    idle = IdleWorkers()
    for name in "abc":
        assert idle.cache_object("small", name)
        now += 1.0
    idle.increase_max("small")
    assert not list(idle.flush_cached_objects())
    assert idle.pop_cached_object("small") == "c"
    idle.decrease_max("small")
    now = idle_workers.KEPT_SECONDS + 0.5
    assert list(idle.flush_cached_objects()) == ["a"]
    idle.increase_max("large")
    assert not idle.cache_object("small", "d")
    assert idle.cache_object("large", "e")
    assert not list(idle.flush_cached_objects())
    assert idle.pop_cached_object("large") == "e"
    assert list(idle.flush_cached_objects()) == ["b"]
    assert idle.num_cached_objects == 0
    idle.cache_object("large", "f")
    assert list(idle.flush_cached_objects(force_all=True)) == ["f"]
    assert not idle.has_cached_object("large")


def test_it_has_all_that_tune_asks_of_its_own() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(IdleWorkers) == public(_ObjectCache)
