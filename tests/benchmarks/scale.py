"""What one driver bears: its CPU time, memory and waits with 100, 1,000 and 10,000 trials at once.

First without Ray: workers are played, everything that a driver does between two of their messages
is real (search, early stopping, the ledger with its fsync). All workers report in turn, one after
the other, until each has had a second trial: what a report and a start cost, how long the slowest
took, and how many reports a second the driver's one thread bears. A report is of 30 columns.

Then with Ray: `TRIALS` trivial trials (default 1,000; `TRIALS=5000` is the long form) on `WORKERS`
worker processes (default 20) of two cores, how long the longest wait was between the end of a
trial and the start of the next one on its worker, and what memory the processes of Ray had at most
(PSS: what several share counts once). The first trials wait until all workers are there: Ray
starts as many at a time as a node has cores, and Tune gives a trial that waits for its worker the
first one that is free. `AT_ONCE=100,1000` leaves out the largest, `AT_ONCE=` all.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import psutil

from cluster.connect import connected
from cluster.resources import Share, shared
from search.config.plan import Plan
from search.engine.events import NoEvents
from search.engine.execution import Execution
from search.engine.job import Job
from search.engine.ray_tune import run_trials
from search.explore.explore import Explore
from search.ledger.ledger import Ledger
from search.ledger.trial import Trial
from search.logs.optuna_journal import STUDY_FILE
from tests.benchmarks.orchestration import TREE
from tests.support.folders import ROOT
from tests.support.paced_training import FACTORY
from tests.support.planned import planned
from trm.report import COLUMNS

AT_ONCE = [int(text) for text in os.environ.get("AT_ONCE", "100,1000,10000").split(",") if text]
TRIALS = int(os.environ.get("TRIALS", "1000"))
WORKERS = int(os.environ.get("WORKERS", "20"))
TPE_TO = 1000
"""Trials beyond which the played sweep draws at random: what TPE costs there is said apart."""
ZERO: dict[str, Any] = {"int": 0, "float": 0.5, "bool": False}


def main() -> None:
    for at_once in AT_ONCE:
        for sampler in ("random", "tpe") if at_once <= TPE_TO else ("random",):
            played(at_once, sampler)
    real()


def plan_of(trials: int, sampler: str) -> Plan:
    tree = deepcopy(TREE)
    tree["search"] = {"trials": trials, "scheduler": "asha", "sampler": sampler}
    tree["train"]["batch_size"] = 1
    return planned(tree)


def played(at_once: int, sampler: str) -> None:
    """A line of what the driver does for so many workers."""
    plan = plan_of(2 * at_once, sampler)
    marks = plan.marks
    process = psutil.Process()
    with (
        tempfile.TemporaryDirectory() as folder,
        Ledger.create(Path(folder, "run")) as ledger,
    ):
        source = Explore(plan, ledger, 0.0, ledger.scratch / STUDY_FILE)

        def job(trial: Trial, attempt: int) -> Job:
            return Job(str(ledger.folder), trial.id, attempt, trial.config, trial.seed, 1e9, marks)

        state = Execution(source, ledger, NoEvents(), job)
        before = process.memory_info().rss
        starts: list[float] = []
        reports: list[float] = []
        free = list(range(at_once))
        begun = 0
        at: dict[int, tuple[str, int, int]] = {}
        cpu = time.process_time()
        while free or at:
            for worker in free:
                since = time.perf_counter()
                name = f"{worker}-{begun}"
                found = state.suggest(name)
                if not isinstance(found, Job):
                    continue
                state.on_start(name, f"worker-{worker}")
                state.on_message(name, _started(found, worker))
                starts.append(time.perf_counter() - since)
                begun += 1
                at[worker] = (name, found.attempt, 0)
            free = []
            for worker, (name, attempt, mark) in list(at.items()):
                since = time.perf_counter()
                verdict = state.on_message(name, _report(attempt, mark + 1, marks, worker))
                reports.append(time.perf_counter() - since)
                if verdict == "continue":
                    at[worker] = (name, attempt, mark + 1)
                else:
                    state.on_end(name)
                    del at[worker]
                    free.append(worker)
        cpu = time.process_time() - cpu
        source.close()
        grown = process.memory_info().rss - before
    print(
        f"{at_once:>6} at once, {sampler:<6} {begun} trials, {len(reports)} reports: a report "
        f"{_ms(reports)}, a start {_ms(starts)}; {cpu / len(reports) * 1e3:.2f} ms of CPU a report "
        f"in all, {len(reports) / (sum(reports) + sum(starts)):.0f} reports/s; memory "
        f"+{grown / 1e6:.0f} MB, {grown / begun / 1e3:.1f} KB a trial",
        flush=True,
    )


def _started(job: Job, worker: int) -> Mapping[str, Any]:
    return {
        "kind": "started", "attempt": job.attempt, "trial": job.trial,
        "host": "played", "pid": worker, "node": f"node-{worker % 100}",
    }  # fmt: skip


def _report(attempt: int, mark: int, marks: Sequence[float], worker: int) -> Mapping[str, Any]:
    row = {name: ZERO[column.kind] for name, column in COLUMNS.items()}
    row |= {"mark": mark, "step": mark, "exact_accuracy": (worker * 7919 % 1000) / 1000}
    return {
        "kind": "report", "attempt": attempt, "row": row, "last": mark == len(marks),
        "checkpoint": None, "provenance": {"torch": "2"} if mark == 1 else None,
    }  # fmt: skip


def _ms(seconds: Sequence[float]) -> str:
    slowest = max(seconds) * 1e3
    return f"{statistics.median(seconds) * 1e3:.2f} ms (slowest {slowest:.0f})"


class Waits(NoEvents):
    """How long a worker had nothing to do between two trials, and when all were at work.

    Args:
        pace: the file that holds trials up until then.
    """

    def __init__(self, pace: Path) -> None:
        self.waits: list[float] = []
        self.all_at: float | None = None
        self._pace = pace
        self._worker: dict[int, str] = {}
        self._ended: dict[str, float] = {}
        pace.write_text("3600")

    def started(self, trial: Trial, where: str) -> None:
        self._worker[trial.id] = where
        if self.all_at is None and len({*self._worker.values()}) == WORKERS:
            self.all_at = time.perf_counter()
            self._pace.unlink()
        if (ended := self._ended.pop(where, None)) is not None:
            self.waits.append(time.perf_counter() - ended)

    def ended(self, trial: Trial) -> None:
        if trial.id in self._worker:
            self._ended[self._worker[trial.id]] = time.perf_counter()


class Memory(threading.Thread):
    """What the processes below this one have, looked at now and then, until `stop` is set.

    Attributes:
        most: workers at once, bytes of them, bytes of all of Ray; the largest of each.
    """

    def __init__(self, seconds: float = 10.0) -> None:
        super().__init__(daemon=True)
        self.most: tuple[int, ...] = (0, 0, 0)
        self.stop = threading.Event()
        self._seconds = seconds

    def run(self) -> None:
        while not self.stop.wait(self._seconds):
            workers, others = [], []
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.Error, IndexError):  # one that ends meanwhile
                    name = child.cmdline()[0]
                    of = workers if name.startswith("ray::") and "Agent" not in name else others
                    of.append(child.memory_full_info().pss)
            now = len(workers), sum(workers), sum(workers) + sum(others)
            self.most = tuple(map(max, self.most, now))
            load = os.getloadavg()[0]
            print(f"  {now[0]} workers, {now[2] / 1e9:.1f} GB, load {load:.0f}", flush=True)


def real() -> None:
    """Trivial trials on real workers."""
    plan, memory = plan_of(TRIALS, "random"), Memory()
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as folder, connected(cpus=2) as cluster:
        share = shared(Share(), WORKERS, int(cluster.resources["CPU"]))
        seen = Waits(Path(folder, "pace"))
        with Ledger.create(Path(folder, "run")) as ledger:
            source = Explore(plan, ledger, 0.0, ledger.scratch / STUDY_FILE)
            memory.start()
            begun, cpu = time.perf_counter(), time.process_time()
            with suppress(KeyboardInterrupt):  # then of what there is
                run_trials(
                    source, ledger, parallel=WORKERS, budget=1e9, marks=plan.marks, resources=share,
                    events=seen, path=[str(ROOT)], factory=FACTORY,
                )  # fmt: skip
            took, cpu = time.perf_counter() - begun, time.process_time() - cpu
            memory.stop.set()
            source.close()
            ended = sum(trial.ended for trial in ledger.trials.values())
    waits = sorted(seen.waits) or [float("nan")]
    until_all = took if seen.all_at is None else seen.all_at - begun
    print(
        f"{ended} real trials on {WORKERS} workers: {took:.0f} s, of which {until_all:.0f} until "
        f"all were up, {cpu / max(ended, 1) * 1e3:.1f} ms of the driver's CPU a trial, "
        f"{process.memory_info().rss / 1e6:.0f} MB; between two trials a worker "
        f"waited {statistics.median(waits) * 1e3:.0f} ms, at most {waits[-1] * 1e3:.0f}; "
        f"{memory.most[0]} workers of {memory.most[1] / 1e9:.1f} GB at once, Ray "
        f"{memory.most[2] / 1e9:.1f} GB"
    )
