from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.folders import RUNS_V1

Cli = Callable[..., Any]
FLAT = {"optimizer.lr": 1e-7, "train.reports": 4}


@pytest.fixture
def flat_run(cli: Cli, config: Callable[..., Path], tmp_path: Path) -> Path:
    """The folder of a training that learns nothing."""
    result = cli("train", config(FLAT), "--out", tmp_path / "run")
    assert result.code == 0
    assert "failure at 100%: flat line: nothing is solved" in result.out
    return tmp_path / "run"


def test_a_training_and_its_checkpoint_say_the_same(cli: Cli, flat_run: Path) -> None:
    result = cli("diagnose", flat_run)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("failure at 100%: flat line: nothing is solved")
    last = sorted((flat_run / "checkpoints").iterdir())[-1]
    assert cli("diagnose", last).out == result.out
    (found,) = json.loads(cli("diagnose", flat_run, "--json").out)
    assert found["findings"][0]["detector"] == "flat_line"
    assert found["findings"][0]["unit"] == "cell accuracy"


def test_a_healthy_training_has_no_findings(cli: Cli, sudoku_run: Path) -> None:
    assert cli("diagnose", sudoku_run).out == "no failure found\n"


def test_a_sweep_is_told_by_trial(cli: Cli) -> None:
    run = RUNS_V1 / "finished"
    told = cli("diagnose", run).out.splitlines()
    counted = int(told[-1].split()[0])
    assert counted == sum(line.startswith("trial ") for line in told)
    one = cli("diagnose", run, "--trial", 0)
    assert one.code == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nowhere"], "nowhere: holds no training"),
        (["nowhere", "--trial", "1"], "--trial: 1 nowhere holds no sweep: leave it out"),
    ],
)
def test_bad_input(refused: Callable[..., str], words: list[str], expected: str) -> None:
    assert refused("diagnose", *words).startswith(expected)
