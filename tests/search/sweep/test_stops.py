"""Signals to all processes of what trains at once, each time followed by the line that goes on."""

from __future__ import annotations

import os
import random
import shlex
import shutil
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
train: {batch_size: 32, budget: {steps: 300}, reports: 10, ema: 0.95}
search: {trials: 4, scheduler: none, objective: cell_accuracy}
stability: {candidates: 2, seeds: 2, promise_seeds: 2}
"""
TRM = str(Path(sys.executable).with_name("trm"))
MOMENTS = ("start-up",) * 3 + ("explore",) * 3 + ("confirm",) * 2 + ("promise",) * 2
STOP_SECONDS = 10.0


def rows(run: Path) -> dict[tuple[int, int], int]:
    """The attempt of every report in the ledger, by trial and mark; empty before there is one."""
    if not (run / "trials").is_dir():
        return {}
    table = read_curves(run).to_pylist()
    assert max(Counter((row["trial"], row["mark"]) for row in table).values(), default=1) == 1
    return {(row["trial"], row["mark"]): row["attempt"] for row in table}


def attempts(run: Path) -> dict[int, int]:
    """How often each trial was begun; empty before there is one."""
    trials = read_trials(run) if (run / "trials").is_dir() else {}
    return {number: trial.attempts for number, trial in trials.items()}


def running(run: Path, stage: str, before: dict[int, int]) -> bool:
    """Whether a trial of the stage is at work, which was begun anew or for the first time."""
    if not (run / "trials").is_dir():
        return False
    trials: list[Trial] = [*read_trials(run).values()]
    stages = ("promise", "reference") if stage == "promise" else (stage,)
    return any(
        t.stage in stages and t.attempts > before.get(t.id, 0) and not t.ended for t in trials
    )


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_ten_stops_lose_nothing(tmp_path: Path) -> None:
    config, run = tmp_path / "stopped.yaml", tmp_path / "run"
    config.write_text(CONFIG)
    words = ["sweep", str(config), "--out", str(run), "--resume"]
    environment = {**os.environ, "TRM_CACHE": str(tmp_path / "cache")}
    moments = random.Random(0)
    seen: dict[tuple[int, int], int] = {}
    for number, stage in enumerate(MOMENTS):
        begun_before = attempts(run)
        driver = subprocess.Popen(
            [TRM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True, env=environment,
        )  # fmt: skip
        end = time.monotonic() + 200
        if stage != "start-up":
            while driver.poll() is None and time.monotonic() < end:
                if running(run, stage, begun_before):
                    break
                time.sleep(0.1)
        # Python itself needs a moment before it hears anything; there is nothing to lose yet.
        wait = moments.uniform(0.5, 6.0) if stage == "start-up" else moments.uniform(0.0, 3.0)
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
    done = subprocess.run([TRM, *words], capture_output=True, text=True, env=environment)
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


def hears() -> None:
    """A child of `nohup`, as the tests may be, ignores a hangup, and so would a driver."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the config, as `stopped.yaml`, and a finished sweep of it, as `run`."""
    folder = tmp_path_factory.mktemp("stopped")
    (folder / "stopped.yaml").write_text(CONFIG)
    done = subprocess.run(
        [TRM, "sweep", "stopped.yaml", "--out", "run"], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "TRM_CACHE": str(folder / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("what", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["sweep", "stopped.yaml", "--out", "anew"], "anew"),
        (["ablate", "stopped.yaml", "--seeds", "2", "--set", "ablations={named: {slow: "
          "{optimizer.lr: 1.0e-4}}}", "--out", "ablated"], "ablated"),
        (["stability", "run", "--seeds", "5"], "run"),
        (["sensitivity", "run", "--params", "optimizer.lr", "--points", "3"], "run"),
    ],
    ids=["sweep", "ablate", "stability", "sensitivity"],
)  # fmt: skip
def test_every_signal_ends_every_command_that_trains(
    home: Path, tmp_path: Path, words: list[str], out: str, what: signal.Signals
) -> None:
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    environment = {**os.environ, "TRM_CACHE": str(tmp_path / "cache")}
    run, before = tmp_path / out, len(rows(tmp_path / out))
    driver = subprocess.Popen(
        [TRM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, env=environment, cwd=tmp_path, preexec_fn=hears,
    )  # fmt: skip
    end = time.monotonic() + 120
    while driver.poll() is None and len(rows(run)) == before and time.monotonic() < end:
        time.sleep(0.1)
    seen = rows(run)
    assert driver.poll() is None, driver.communicate()
    there = psutil.Process(driver.pid).children(recursive=True)
    begun = time.monotonic()
    os.killpg(driver.pid, what)
    printed, errors = driver.communicate(timeout=100)
    assert (driver.returncode, printed) == (130, ""), errors
    assert time.monotonic() - begun < STOP_SECONDS
    _, left = psutil.wait_procs(there, timeout=5)
    assert not left
    now = rows(run)
    assert len(seen) > before
    assert seen.items() <= now.items(), "an acknowledged report was lost"
    line = errors.splitlines()[-1].partition(" with: ")[2]
    assert shlex.split(line)[:2] == ["trm", words[0]]
    done = subprocess.run(
        [TRM, *shlex.split(line)[1:]], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert now.items() <= rows(run).items()
    assert all(trial.ended for trial in read_trials(run).values())
