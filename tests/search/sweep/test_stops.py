"""SIGTERM to a sweep's whole process group at random moments, each time followed by the line."""

from __future__ import annotations

import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from search.ledger.reader import read_curves, read_trials
from search.ledger.trial import Trial

CONFIG = """
name: stopped
task: {name: arrows, size: 4, train_examples: 2000, valid_examples: 100, test_examples: 100}
model: {mixer: mlp_t, hidden_size: 32, L_layers: 2, expansion: 1.0, swiglu_multiple: 32,
        puzzle_emb_len: 1, halt_max_steps: 4, halt_exploration_prob: 0.5,
        H_cycles: {int: [1, 2]}, L_cycles: {int: [1, 2]}}
optimizer: {name: adamw, lr_warmup_steps: 10, lr: {loguniform: [3e-3, 3e-2]}}
train: {batch_size: 32, budget: {steps: 150}, reports: 10, ema: 0.95}
search: {trials: 4, scheduler: none, objective: cell_accuracy}
stability: {candidates: 2, seeds: 2, promise_seeds: 2}
"""
MOMENTS = ("start-up",) * 3 + ("explore",) * 3 + ("confirm",) * 2 + ("promise",) * 2
STOP_SECONDS = 10.0


def rows(run: Path) -> dict[tuple[int, int], int]:
    """The attempt of every report in the ledger, by trial and mark; empty before there is one."""
    if not (run / "trials").is_dir():
        return {}
    table = read_curves(run).to_pylist()
    assert max(Counter((row["trial"], row["mark"]) for row in table).values(), default=1) == 1
    return {(row["trial"], row["mark"]): row["attempt"] for row in table}


def running(run: Path, stage: str) -> bool:
    """Whether a trial of the stage is at work."""
    trials: list[Trial] = [*read_trials(run).values()] if (run / "trials").is_dir() else []
    stages = ("promise", "reference") if stage == "promise" else (stage,)
    return any(t.stage in stages and t.attempts and not t.ended for t in trials)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_ten_stops_lose_nothing(tmp_path: Path) -> None:
    config, run = tmp_path / "stopped.yaml", tmp_path / "run"
    config.write_text(CONFIG)
    trm = str(Path(sys.executable).with_name("trm"))
    words = ["sweep", str(config), "--out", str(run), "--resume"]
    environment = {**os.environ, "TRM_CACHE": str(tmp_path / "cache")}
    moments = random.Random(0)
    seen: dict[tuple[int, int], int] = {}
    for number, stage in enumerate(MOMENTS):
        driver = subprocess.Popen(
            [trm, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True, env=environment,
        )  # fmt: skip
        end = time.monotonic() + 200
        if stage != "start-up":
            while driver.poll() is None and not running(run, stage) and time.monotonic() < end:
                time.sleep(0.1)
        # Python itself needs a moment before it hears anything; there is nothing to lose yet.
        wait = moments.uniform(0.5, 15.0) if stage == "start-up" else moments.uniform(0.0, 3.0)
        time.sleep(wait)
        assert driver.poll() is None, driver.communicate()
        there = psutil.Process(driver.pid).children(recursive=True)
        begun = time.monotonic()
        os.killpg(driver.pid, signal.SIGTERM)
        printed, errors = driver.communicate(timeout=100)
        took = time.monotonic() - begun
        now = rows(run)
        print(
            f"{number} {stage} +{wait:.1f} s: exit {driver.returncode} after {took:.1f} s, "
            f"{len(now) - len(seen)} new reports of {len(now)}, {len(there)} processes"
        )
        assert (driver.returncode, printed) == (130, ""), errors
        assert took < STOP_SECONDS
        line = errors.splitlines()[-1]
        assert shlex.split(line.removeprefix("trm: interrupted; resume with: ")) == ["trm", *words]
        _, left = psutil.wait_procs(there, timeout=5)
        assert not left
        assert seen.items() <= now.items(), "an acknowledged report was lost"
        seen = now
        for trial in read_trials(run).values() if now else ():
            if trial.outcome is None and trial.checkpoint:
                assert (run / trial.checkpoint / "checkpoint.json").is_file()
            assert trial.outcome in (None, "completed"), trial
    done = subprocess.run([trm, *words], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    now = rows(run)
    assert seen.items() <= now.items()
    trials = read_trials(run).values()
    assert {trial.outcome for trial in trials} == {"completed"}
    print(f"{len(trials)} trials, {len(now)} reports, {sum(t.attempts for t in trials)} attempts")
    # A trial that went on repeats no more than what it had trained since its last report.
    assert all(
        [mark for number, mark in sorted(now) if number == trial.id]
        == list(range(1, trial.mark + 1))
        for trial in trials
    )
