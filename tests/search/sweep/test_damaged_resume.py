"""A sweep that is stopped, damaged and resumed: one line and no change, or all that it had."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from search.ledger.reader import read_curves, read_trials
from tests.support.damaged import DAMAGES, files_of, many

TRM = str(Path(sys.executable).with_name("trm"))
CONFIG = """
name: damaged
task: {name: arrows, size: 3, visited: [2, 4], train_examples: 150, valid_examples: 40,
       test_examples: 30}
model: {mixer: mlp_t, hidden_size: 16, num_heads: 2, L_layers: 1, H_cycles: 1, L_cycles: 2,
        expansion: 1.0, swiglu_multiple: 16, puzzle_emb_len: 1, halt_max_steps: 2}
optimizer: {name: adamw, lr_warmup_steps: 5, lr: {loguniform: [1e-3, 1e-2]}}
train: {batch_size: 16, budget: {steps: 60}, reports: 6, ema: null}
search: {trials: 2, scheduler: none, objective: cell_accuracy}
stability: {candidates: 2, seeds: 2, promise_seeds: 2}
"""


def trm(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TRM, *words], cwd=folder, capture_output=True, text=True, timeout=200,
        env={**os.environ, "TRM_CACHE": str(folder / "cache")},
    )  # fmt: skip


def rows(run: Path) -> dict[tuple[int, int], dict[str, Any]]:
    """Every report, by trial and mark."""
    return {(row["trial"], row["mark"]): row for row in read_curves(run).to_pylist()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a config and `run`, a sweep of it whose driver was killed at work."""
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "damaged.yaml").write_text(CONFIG)
    driver = subprocess.Popen(
        [TRM, "sweep", "damaged.yaml", "--out", "run"], cwd=folder, stderr=subprocess.PIPE,
        env={**os.environ, "TRM_CACHE": str(folder / "cache")},
    )  # fmt: skip
    run, end = folder / "run", time.monotonic() + 120
    while driver.poll() is None and time.monotonic() < end:
        if (run / "trials").is_dir() and len(read_curves(run)) > 4:
            break
        time.sleep(0.05)
    assert driver.poll() is None
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_what_is_resumed_is_whole_or_refused(home: Path, tmp_path: Path) -> None:
    before = rows(home / "run")
    assert before
    refused = 0
    for number, name, rng in many(24):
        folder = Path(shutil.copytree(home, tmp_path / str(number)))
        run = folder / "run"
        path = rng.choice(files_of(run))
        about = f"{name} of {path.relative_to(run)} ({number})"
        DAMAGES[name](path, rng)
        words = ("sweep", "damaged.yaml", "--out", "run", "--resume")
        done = trm(folder, *words)
        assert "Traceback" not in done.stderr, about
        assert done.returncode in (0, 2), (about, done.stderr)
        if done.returncode == 2:
            refused += 1
            assert done.stderr.count("\n") == 1, (about, done.stderr)
            assert path.name in done.stderr or path.parent.name in done.stderr, about
            mended = trm(folder, "status", "run", "--repair")
            assert mended.returncode == 0, (about, mended.stderr)
            done = trm(folder, *words)
            assert done.returncode == 0, (about, done.stderr)
        after = rows(run)
        # Nobody can tell a log whose end is cut or zeros from one that was not yet written.
        unwritten = path.parent.name == "log"
        assert unwritten or all(after[key] == row for key, row in before.items()), about
        assert all(trial.ended for trial in read_trials(run).values()), about
        assert len(after) == sum(trial.mark for trial in read_trials(run).values()), about
        assert trm(folder, "status", "run", "--check").returncode == 0, about
        shutil.rmtree(folder)
    assert 0 < refused < 24
