"""Situations that people were in, each a script that exits 0 when the program behaves well."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NOT_HERE = 77
"""A script's exit code where it cannot run: no root, no network."""

SLOW = {
    "01-yaml-merge-keys",
    "02-yaml-odd-input",
    "03-null-search-warm-start",
    "04-conflict-copies",
    "05-bitflip-parquet",
    "07-int-range-huge",
    "08-sigterm-to-the-group",
    "09-broken-worker-eats-the-sweep",
    "10-disk-full-once",
    "13-words-of-other-tools",
    "14-parallel-beyond-cores",
    "15-constant-scores-fidelity",
}


def _case(path: Path) -> object:
    marks = [pytest.mark.slow] if path.stem in SLOW else []
    return pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize("script", [_case(path) for path in sorted(HERE.glob("[0-9]*.sh"))])
def test_case(script: Path) -> None:
    trm = Path(sys.executable).with_name("trm")
    environment = {**os.environ, "TRM": str(trm)}
    done = subprocess.run(
        ["bash", str(script)], env=environment, capture_output=True, text=True, timeout=590
    )
    if done.returncode == NOT_HERE:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
