"""`kill -9` of a sweep's driver at random moments, each time followed by `--resume` at once."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from search.ledger.reader import read_curves, read_trials
from search.sweep.run import Run
from trm.config import experiment_from
from trm.report import MACHINE_COLUMNS
from trm.training.trainer import Trainer

KILLS = 5
CONFIG = """
name: killed
task: {name: arrows, size: 4, train_examples: 2000, valid_examples: 100, test_examples: 100}
model: {mixer: mlp_t, hidden_size: 32, L_layers: 2, expansion: 1.0, swiglu_multiple: 32,
        puzzle_emb_len: 1, halt_max_steps: 4, halt_exploration_prob: 0.5,
        H_cycles: {int: [1, 2]}, L_cycles: {int: [1, 2]}}
optimizer: {name: adamw, lr_warmup_steps: 10, lr: {loguniform: [3e-3, 3e-2]}}
train: {batch_size: 32, budget: {steps: 150}, reports: 10, ema: 0.95}
search: {trials: 6, scheduler: none, objective: cell_accuracy}
stability: {candidates: 2, seeds: 2, promise_seeds: 2}
"""


def acknowledged(run: Path) -> set[tuple[int, int]]:
    """(trial, mark) of every report in the ledger; empty before there is one."""
    if not (run / "trials").is_dir():
        return set()
    table = read_curves(run)
    return set(zip(table["trial"].to_pylist(), table["mark"].to_pylist(), strict=True))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scheduler", ["none", "halving"])
def test_five_kills_lose_and_repeat_nothing(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRM_CACHE", str(tmp_path / "cache"))
    config, run = tmp_path / "killed.yaml", tmp_path / "run"
    config.write_text(CONFIG.replace("scheduler: none", f"scheduler: {scheduler}"))
    trm = str(Path(sys.executable).with_name("trm"))
    command = [trm, "sweep", str(config), "--out", str(run), "--resume"]
    moments = random.Random(0)
    seen: set[tuple[int, int]] = set()
    for _ in range(KILLS):
        driver = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        begun = len(acknowledged(run))
        wait = moments.uniform(1, 12)
        # The clock of a kill starts with the first report, or the kill could only hit the start.
        end = time.monotonic() + 120
        while driver.poll() is None and time.monotonic() < end:
            if len(acknowledged(run)) > begun or moments.random() < 0.02:
                break
            time.sleep(0.5)
        time.sleep(wait)
        children = (
            psutil.Process(driver.pid).children(recursive=True) if driver.poll() is None else []
        )
        driver.kill()
        driver.wait()
        psutil.wait_procs(children, timeout=20)
        left = [child for child in children if child.is_running()]
        assert not left, left
        now = acknowledged(run)
        assert seen <= now, "an acknowledged report was lost"
        seen = now
        for trial in read_trials(run).values() if (run / "trials").is_dir() else ():
            if trial.outcome is None and trial.checkpoint:
                assert (run / trial.checkpoint / "checkpoint.json").is_file()
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert seen <= acknowledged(run)
    trials = read_trials(run)
    explored = [trial for trial in trials.values() if trial.stage == "explore"]
    assert len(explored) == 6
    ends = {"completed"} if scheduler == "none" else {"completed", "pruned"}
    assert {trial.outcome for trial in trials.values()} == ends
    assert not any(trial.paused for trial in trials.values())
    rows = read_curves(run).to_pylist()
    resumed = {row["trial"] for row in rows if row["attempt"] > 1 and row["mark"] > 1}
    assert resumed, "no kill hit a trial that had a checkpoint: the test showed nothing"
    assert max(Counter((row["trial"], row["mark"]) for row in rows).values()) == 1
    plan = Run(run).plan
    for trial in trials.values():
        experiment = experiment_from(trial.config)
        trainer = Trainer(experiment, experiment.task.build(), plan.budget, plan.marks)
        alone = [report.row() for report in trainer.run()]
        mine = sorted((r for r in rows if r["trial"] == trial.id), key=lambda r: r["mark"])
        clock = ("trial", "attempt", *MACHINE_COLUMNS)
        assert len(mine) == len(alone) or trial.outcome == "pruned"
        assert [{k: v for k, v in r.items() if k not in clock} for r in mine] == [
            {k: v for k, v in r.items() if k not in clock} for r in alone[: len(mine)]
        ]
