"""The ledger of 10,000 trials with 50 reports each: opening, resuming, reporting and reading.

Every report is timed next to an fsynced append of the same line to a plain file, and reading all
curves at once next to reading them trial by trial.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

TRIALS, REPORTS = 10_000, 50
FRESH_TRIALS, AT_ONCE = 160, 8
"""Trials that are reported on in the run that is there, and how many of them side by side."""
SAMPLE = 300
"""Trials that are read one at a time."""


def main() -> None:
    from search.ledger.ledger import Ledger
    from search.ledger.reader import read_curves, read_trials
    from tests.benchmarks.side_by_side import compare

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "run")
        _in_another_process("build", str(folder))
        size = sum(file.stat().st_size for file in folder.rglob("*.parquet"))
        print(f"{TRIALS} trials x {REPORTS} reports: {size / 1e6:.0f} MB of Parquet")
        timed("read_trials", lambda: read_trials(folder))
        timed("read_curves", lambda: read_curves(folder))
        ledger = timed("open", lambda: Ledger.open(folder))
        _curves(ledger)
        chosen = random.Random(0).sample(range(TRIALS), SAMPLE)
        bulk, single = compare(
            lambda: sum(len(rows) for _, rows in ledger.curves(("progress", "exact_accuracy"))),
            lambda: [ledger.curve(number) for number in chosen],
            2,
        )
        print(
            f"all curves, two columns: {bulk:.1f} s at once; trial by trial it would take "
            f"{single * TRIALS / SAMPLE:.0f} s, ratio {bulk * SAMPLE / single / TRIALS:.3f}"
        )
        _report(ledger, Path(temporary, "plain.jsonl"))
        _report_everywhere(ledger)
        timed("close", ledger.close)
        _status(folder)


def timed(what: str, run: Callable[[], Any]) -> Any:
    """Run, and print seconds, processor seconds and the memory of this process afterwards."""
    begun, busy = time.perf_counter(), time.process_time()
    result = run()
    seconds, busy = time.perf_counter() - begun, time.process_time() - busy
    memory = psutil.Process().memory_info().rss / 1e6
    print(f"{what}: {seconds:.2f} s ({busy:.2f} s of CPU), {memory:.0f} MB in use", flush=True)
    return result


def _curves(ledger: Any) -> None:
    def read() -> int:
        return sum(len(rows) for _, rows in ledger.curves())

    assert timed("all curves, all columns, block by block", read) == TRIALS * REPORTS


def _report(ledger: Any, plain: Path) -> None:
    """Reports of new trials, side by side, each next to a plain append."""
    generator = random.Random(1)
    ours: list[float] = []
    theirs: list[float] = []
    with open(plain, "ab", buffering=0) as file:
        for _ in range(FRESH_TRIALS // AT_ONCE):
            trials = [ledger.add_trial(**_trial(generator)) for _ in range(AT_ONCE)]
            attempts = [ledger.begin_attempt(trial.id) for trial in trials]
            for mark in range(1, REPORTS + 1):
                for trial, attempt in zip(trials, attempts, strict=True):
                    row = _row(generator, mark)
                    begun = time.perf_counter()
                    path = f"checkpoints/{trial.id}/1/{mark}"
                    ledger.acknowledge(trial.id, attempt, row, path, _PROVENANCE)
                    ours.append(time.perf_counter() - begun)
                    begun = time.perf_counter()
                    file.write(json.dumps({"t": trial.id, "row": row}).encode() + b"\n")
                    os.fsync(file.fileno())
                    theirs.append(time.perf_counter() - begun)
            for trial in trials:
                ledger.finish(trial.id, "completed", generator.random())
    mean, plain_mean = sum(ours) / len(ours), sum(theirs) / len(theirs)
    print(
        f"{len(ours)} reports, compaction included: median {_at(ours, 0.5)}, p99 {_at(ours, 0.99)},"
        f" longest {_at(ours, 1.0)}; plain fsynced append: median {_at(theirs, 0.5)}, "
        f"p99 {_at(theirs, 0.99)}; ratio of medians "
        f"{sorted(ours)[len(ours) // 2] / sorted(theirs)[len(theirs) // 2]:.2f}, "
        f"of means {mean / plain_mean:.2f}"
    )


def _report_everywhere(ledger: Any) -> None:
    """As promotions do: one more report of waiting trials all over the run, so of every file."""
    generator = random.Random(2)
    waiting = [trial for trial in ledger.trials.values() if trial.paused]
    ledger.compact()
    seconds = []
    for trial in generator.sample(waiting, len(waiting) // 2):
        begun = time.perf_counter()
        attempt = ledger.begin_attempt(trial.id)
        ledger.acknowledge(trial.id, attempt, _row(generator, REPORTS + 1))
        seconds.append(time.perf_counter() - begun)
    print(
        f"{len(seconds)} attempts and reports of trials all over the run: "
        f"median {_at(seconds, 0.5)}, p99 {_at(seconds, 0.99)}"
    )
    timed("compaction of every file", ledger.compact)


def _status(folder: Path) -> None:
    for what, arguments in {
        "trm status": ["-m", "search.cli", "status", str(folder)],
        "its imports alone": ["-c", "import search.analysis.status"],
    }.items():
        begun = time.perf_counter()
        child = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
        _, code, usage = os.wait4(child.pid, 0)
        assert code == 0
        seconds = time.perf_counter() - begun
        print(f"{what}: {seconds:.1f} s, {usage.ru_maxrss / 1e3:.0f} MB at its peak")


def _at(seconds: list[float], share: float) -> str:
    ordered = sorted(seconds)
    return f"{ordered[min(int(share * len(ordered)), len(ordered) - 1)] * 1e3:.1f} ms"


_PROVENANCE = {
    "python": "3.11.7", "torch": "2.13.0", "ray": "2.60.0", "git": "0" * 40, "data_hash": "0" * 64,
    "resolved": {"device": "cpu", "precision": "float32", "threads": 1, "compile": False},
    "host": "host", "node": "0" * 56,
}  # fmt: skip


def _trial(generator: random.Random) -> dict[str, Any]:
    from trm.config import experiment_from

    tree = experiment_from({"task": {"name": "arrows"}}).tree()
    rate = generator.random()
    tree["optimizer"]["lr"] = rate
    return {"stage": "explore", "params": {"optimizer.lr": rate}, "config": tree, "seed": 0}


def _row(generator: random.Random, mark: int) -> dict[str, Any]:
    from trm.report import COLUMNS

    draw = {"int": lambda: mark, "float": generator.random, "bool": lambda: False}
    return {name: draw[column.kind]() for name, column in COLUMNS.items()} | {"mark": mark}


def build(folder: str) -> None:
    """Write the run's Parquet files as compactions would have; every fifth trial waits."""
    from search.config.plan import write_plan
    from search.ledger.ledger import Ledger
    from search.ledger.parquet import BLOCK, CURVES, part, trial_row, write_part
    from search.ledger.parquet import TRIALS as SCHEMA
    from search.ledger.trial import Trial
    from tests.support.planned import planned
    from trm.config import experiment_from

    tree = experiment_from({"task": {"name": "arrows"}}).tree()
    tree["optimizer"]["lr"] = {"loguniform": [1e-4, 1e-2]}
    tree["search"] = {"trials": TRIALS}
    plan = planned(tree)
    Ledger.create(folder).close()
    write_plan(Path(folder), plan)
    generator = random.Random(0)
    first = _trial(generator)
    for block in range(-(-TRIALS // BLOCK)):
        numbers = range(block * BLOCK, min((block + 1) * BLOCK, TRIALS))
        rows, trials = [], []
        for number in numbers:
            lr = generator.random()
            config = {**first["config"], "optimizer": {**first["config"]["optimizer"], "lr": lr}}
            trial = Trial(
                number, "explore", number, 0, {"optimizer.lr": lr}, config,
                mark=REPORTS, compute=1e9, seconds=60.0, attempts=1, provenance=_PROVENANCE,
                checkpoint=f"checkpoints/{number}/1/{REPORTS}", started="2026-01-01T00:00:00+00:00",
            )  # fmt: skip
            if number % 5:
                trial.outcome, trial.score, trial.finished = "completed", lr, trial.started
            trial.paused = trial.outcome is None
            trials.append(trial_row(trial))
            rows += [
                {"trial": number, "attempt": 1, **_row(generator, mark)}
                for mark in range(1, REPORTS + 1)
            ]
        write_part(part(Path(folder, "curves"), block), rows, CURVES, 1)
        write_part(part(Path(folder, "trials"), block), trials, SCHEMA, 1)


def _in_another_process(function: str, *arguments: str) -> None:
    """So that its memory is not counted here."""
    call = f"from tests.benchmarks.ledger import {function} as f; import sys; f(*sys.argv[1:])"
    subprocess.run([sys.executable, "-c", call, *arguments], check=True)
