"""The checks of `python -m tests.gpu` as tests where there is a GPU; the script itself anywhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.gpu.checks import CHECKS

BLOCKED = ("ray", "optuna", "wandb", "pytest", "search", "cluster")
ALONE = f"""
import runpy, sys
for name in {BLOCKED}:
    sys.modules[name] = None
sys.argv = ["tests.gpu", *sys.argv[1:]]
runpy.run_module("tests.gpu", run_name="__main__")
"""


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_on_a_gpu(check: Callable[[str], str]) -> None:
    assert check("cuda")


def test_the_script_runs_whole_on_a_cpu_with_trm_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ALONE, "--tiny", "--out", str(tmp_path / "result.md")]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = (tmp_path / "result.md").read_text()
    assert said.count("- ") >= len(CHECKS)
    assert "FAILED" not in said
    assert "Nothing here was measured on a GPU" in said
    assert "not run: CUDA graphs need a CUDA device" in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_without_a_gpu_the_script_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.gpu"], cwd=Path(__file__).parents[2], capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no CUDA device here" in done.stdout
