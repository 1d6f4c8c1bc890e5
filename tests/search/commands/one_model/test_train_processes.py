"""`trm train --processes`, and under torchrun, as its users see it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from trm.run.folder import read_rows

Tiny = Callable[..., dict[str, Any]]


def start(words: list[str], folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        words, cwd=folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 120.0
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture
def folder(tiny: Tiny, tmp_path: Path) -> Path:
    """A folder with a config whose run takes long."""
    changes = {"train.budget.steps": 100_000, "train.reports": 10_000, "diagnostics.probe": None}
    (tmp_path / "long.yaml").write_text(json.dumps(tiny(changes)))
    changes = {"train.budget.steps": 20, "diagnostics.probe": None}
    (tmp_path / "short.yaml").write_text(json.dumps(tiny(changes)))
    return tmp_path


TRM = [sys.executable, "-P", "-m", "search.cli"]


def test_a_signal_stops_all_and_the_death_of_one_is_one_line(folder: Path) -> None:
    command = [*TRM, "train", "long.yaml", "--out", "run", "--processes", "2"]
    running = start(command, folder)
    wait_for(lambda: len(read_rows(folder / "run")) > 1)
    (child,) = psutil.Process(running.pid).children()
    running.terminate()
    said = running.communicate(timeout=10)[1]
    assert running.returncode == 130
    assert said.startswith("trm: interrupted at step ")
    assert said.endswith("--out run --processes 2 --resume\n")
    assert not child.is_running()

    rows = len(read_rows(folder / "run"))
    running = start([*command, "--resume"], folder)
    wait_for(lambda: len(read_rows(folder / "run")) > rows)
    (child,) = psutil.Process(running.pid).children()
    child.kill()
    said = running.communicate(timeout=10)[1]
    assert running.returncode == 1
    assert said == (
        "trm: process 2 of 2 was killed by SIGKILL; what was saved stays; resume with: "
        "trm train long.yaml --out run --processes 2 --resume\n"
    )


def test_nobody_outlives_the_first_process(folder: Path) -> None:
    running = start([*TRM, "train", "long.yaml", "--out", "run", "--processes", "2"], folder)
    wait_for(lambda: len(read_rows(folder / "run")) > 1)
    (child,) = psutil.Process(running.pid).children()
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=10)
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.slow
def test_torchrun_starts_the_processes_too(folder: Path) -> None:
    torchrun = [
        sys.executable, "-P", "-m", "torch.distributed.run", "--standalone",
        "--nproc-per-node", "2", "--no-python",
    ]  # fmt: skip
    both = start([*torchrun, *TRM, "train", "short.yaml", "--out", "both", "--json"], folder)
    printed, said = both.communicate(timeout=120)
    assert both.returncode == 0, said
    assert len(printed.splitlines()) == 2
    one = start([*TRM, "train", "short.yaml", "--out", "one"], folder)
    assert one.wait(timeout=120) == 0
    ours, theirs = (read_rows(folder / name)[-1] for name in ("both", "one"))
    assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-5)
