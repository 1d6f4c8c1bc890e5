"""The demo's sweep with the compiled step and without, and where its workers' time goes.

`python -m tests.benchmarks demo_sweep` sweeps `arrows4`, which has the demo's task and model, in a
process of its own for every number of workers with `train.kernel` auto and eager, and prints wall
time, CPU time of all its processes, the ratio, and a time line from what the run folder has on
record. `WORKERS=1,2`, `KERNELS=auto,eager`,
`TRIALS` and `SETS` (settings with commas between) choose; `BEFORE=<commit>` runs that commit too.
Two rows say the same work only if they sweep the same configs: one worker at a time does, and
with two the race may decide otherwise, so the time line gives FLOPs a second as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pyarrow.compute as pc

from search.ledger.ledger import read_curves, read_trials
from search.logs.driver_log import RunEvent, read_driver_logs
from tests.benchmarks.older_tree import tree_of
from tests.benchmarks.rest import require_rest
from tests.support.folders import ROOT

WORKERS = [int(n) for n in os.environ.get("WORKERS", "1,2").split(",")]
KERNELS = os.environ.get("KERNELS", "auto,eager").split(",")
BEFORE = os.environ.get("BEFORE", "")
_LOOK_SECONDS = 0.5
_TRM = "import sys; from search.cli import main; sys.exit(main(sys.argv[1:]))"


@dataclass(frozen=True)
class Demo:
    """A sweep of `arrows4`.

    Attributes:
        trials: of its search; None is as many as the preset has.
        sets: settings on top of it.
    """

    trials: int | None = None
    sets: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What is other than in the demo."""
        trials = () if self.trials is None else (f"{self.trials} trials",)
        return ", ".join((*trials, *self.sets))


CHOSEN = Demo(
    int(os.environ["TRIALS"]) if os.environ.get("TRIALS") else None,
    tuple(text for text in os.environ.get("SETS", "").split(",") if text),
)


@dataclass(frozen=True)
class TimeLine:
    """Where the time of a sweep went, in seconds.

    The workers' own are sums over all slots; together with `idle` they are the time from the first
    attempt's beginning to the last one's end, times the slots.

    Attributes:
        wall: of the whole command.
        cpu: of all its processes.
        before: until the first attempt is handed out: data, Ray, the probe of threads.
        after: from the end of the last trial.
        starts: of workers, until each had its first attempt.
        training: of the trials.
        evaluation: of the trials.
        overhead: of attempts besides: trainers built, checkpoints and reports stored.
        idle: of slots.
        workers: processes that were started for the slots.
        trials: that ran.
        flops: that were trained.
        phases: what the driver wrote down until then, and how many seconds after the one before.
    """

    wall: float
    cpu: float
    before: float
    after: float
    starts: float
    training: float
    evaluation: float
    overhead: float
    idle: float
    workers: int
    trials: int
    flops: float
    phases: tuple[tuple[str, float], ...] = ()

    @property
    def text(self) -> str:
        """Where the time went, in words."""
        return (
            f"before {self.before:.0f}, after {self.after:.0f}; of slots: training "
            f"{self.training:.0f}, evaluation {self.evaluation:.1f}, starts {self.starts:.0f}, "
            f"overhead {self.overhead:.1f}, idle {self.idle:.1f}; {self.trials} trials, "
            f"{self.workers} workers started"
        )

    @property
    def ratios(self) -> tuple[float, float]:
        """FLOPs a second of wall time, and of CPU time."""
        return self.flops / self.wall, self.flops / self.cpu


def main() -> None:
    print(" | ".join(_COLUMNS), flush=True)
    least = 1.0
    with tempfile.TemporaryDirectory() as scratch:
        trees = {"": ROOT}
        if BEFORE:
            older = tree_of(BEFORE, Path(scratch) / "before")
            assert older is not None, f"{BEFORE} is not in the history"
            trees = {f" at {BEFORE}": older, **trees}
        for slots in WORKERS:
            for name, tree in trees.items():
                lines = {}
                for kernel in KERNELS:
                    folder = Path(scratch) / f"run-{slots}-{kernel}{len(name)}"
                    lines[kernel] = swept(tree, folder, slots, kernel, CHOSEN)
                    print(_row(f"{kernel}{name}, {slots}", lines[kernel]), flush=True)
                    for phase, seconds in lines[kernel].phases:
                        print(f"    {seconds:6.1f} s until: {phase}", flush=True)
                    least = min(least, require_rest(anyway=True))
                if {"auto", "eager"} <= lines.keys():
                    _compare(lines["auto"], lines["eager"])
    print(f"a busy loop got {least:.0%} of a core at the least, looked at after each sweep")


def swept(tree: Path, folder: Path, slots: int, kernel: str, demo: Demo) -> TimeLine:
    """A sweep of the demo by the packages of a tree, and its time line."""
    words = ["sweep", "arrows4", "--out", str(folder), "--parallel", str(slots)]
    words += [] if demo.trials is None else ["--trials", str(demo.trials)]
    for setting in (f"train.kernel={kernel}", *demo.sets):
        words += ["--set", setting]
    begun = time.time()
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _TRM, *words],
        env={**os.environ, "PYTHONPATH": str(tree)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    cpu = cpu_seconds_of(process)
    assert process.returncode == 0, process.stderr.read() if process.stderr else ""
    return time_line(folder, slots, begun, time.time(), cpu)


def cpu_seconds_of(process: subprocess.Popen[str]) -> float:
    """Of a process and all its descendants, until it ends; what one does last may be missed."""
    spent: dict[tuple[int, float], float] = {}
    own = psutil.Process(process.pid)
    while process.poll() is None:
        for one in (own, *_children(own)):
            try:
                times = one.cpu_times()
                spent[one.pid, one.create_time()] = times.user + times.system
            except psutil.Error:
                continue
        time.sleep(_LOOK_SECONDS)
    return sum(spent.values())


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def time_line(folder: Path, slots: int, begun: float, ended: float, cpu: float) -> TimeLine:
    """Where the time went, by the ledger and the log of the run's driver.

    Args:
        begun: when the command began, seconds since 1970.
        ended: when it had ended.
        cpu: seconds of all its processes.
    """
    trials = [trial for trial in read_trials(folder).values() if trial.started and trial.finished]
    handed = {trial.id: _time(trial.started) for trial in trials}
    over = {trial.id: _time(trial.finished) for trial in trials}
    first, last = min(handed.values()), max(over.values())
    curves = read_curves(folder)
    whole = _total(curves, "seconds")
    training = _total(curves, "train_seconds")
    events = read_driver_logs(folder)
    starts, busy, seen = 0.0, 0.0, set()
    for event in events:
        if event.kind == "begun" and event.trial in over:
            at = _time(event.at)
            busy += over[event.trial] - at
            if event.worker not in seen:
                seen.add(event.worker)
                starts += at - handed[event.trial]
    return TimeLine(
        wall=ended - begun, cpu=cpu, before=first - begun, after=ended - last, starts=starts,
        training=training, evaluation=whole - training, overhead=busy - whole,
        idle=slots * (last - first) - starts - busy, workers=len(seen), trials=len(trials),
        flops=sum(trial.compute for trial in trials),
        phases=tuple(_phases(folder, events, begun, first)),
    )  # fmt: skip


def _total(curves: Any, column: str) -> float:
    """Of all trials' last reports."""
    table = curves.group_by("trial").aggregate([(column, "max")])
    return float(pc.sum(table[f"{column}_max"]).as_py() or 0.0)


def _phases(
    folder: Path, events: list[RunEvent], begun: float, first: float
) -> Iterator[tuple[str, float]]:
    at = _time(json.loads((folder / "driver.json").read_text())["began"])
    yield "the run folder is there", at - begun
    for event in events:
        if event.kind == "driver" and _time(event.at) <= first:
            yield event.text, _time(event.at) - at
            at = _time(event.at)
    yield "the first trial is handed out", first - at


def _time(text: str | None) -> float:
    assert text is not None
    return datetime.fromisoformat(text).timestamp()


_COLUMNS = (
    "kernel, workers", "wall s", "CPU s", "before", "starts", "training", "evaluation", "overhead",
    "idle", "after", "workers started", "trials", "MFLOP/s wall", "MFLOP/s CPU",
)  # fmt: skip


def _row(name: str, line: TimeLine) -> str:
    seconds = (
        line.wall, line.cpu, line.before, line.starts, line.training, line.evaluation,
        line.overhead, line.idle, line.after,
    )  # fmt: skip
    rates = [f"{rate / 1e6:.0f}" for rate in line.ratios]
    cells = [*(f"{one:.1f}" for one in seconds), str(line.workers), str(line.trials), *rates]
    return " | ".join((name, *cells))


def _compare(fast: TimeLine, slow: TimeLine) -> None:
    wall, cpu = (f / s for f, s in zip(fast.ratios, slow.ratios, strict=True))
    print(
        f"auto against eager: wall time {fast.wall / slow.wall:.2f}, CPU time "
        f"{fast.cpu / slow.cpu:.2f} of it; FLOPs a second of wall time {wall:.2f} times, "
        f"of CPU time {cpu:.2f} times",
        flush=True,
    )
