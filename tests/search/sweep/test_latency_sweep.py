"""A real sweep that searches by latency: an objective, and constraints kept and broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.cli import main
from search.ledger.reader import read_curves, read_trials
from search.stability.result import read_result
from trm.files.yaml12 import dump_yaml

TREE: dict[str, Any] = {
    "name": "quick",
    "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 200,
             "valid_examples": 40, "test_examples": 40},
    "model": {"mixer": "mlp_t", "hidden_size": 16, "L_layers": 1, "expansion": 1.0,
              "swiglu_multiple": 16, "puzzle_emb_len": 1, "halt_max_steps": 2, "H_cycles": 1,
              "L_cycles": {"choice": [1, 4]}},
    "optimizer": {"name": "adamw", "lr_warmup_steps": 5, "lr": {"loguniform": [3e-3, 3e-2]}},
    "train": {"batch_size": 32, "budget": {"steps": 60}, "reports": 2, "ema": None},
    "search": {"trials": 6, "objective": ["cell_accuracy", "latency_ms"],
               "scheduler": "none", "constraints": ["latency_ms <= 1e4"]},
    "stability": {"candidates": 2, "seeds": 2, "promise_seeds": 2},
}  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_cluster")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("latency")
    (home / "quick.yaml").write_text(dump_yaml(TREE))
    out = home / "run"
    assert main(["sweep", str(home / "quick.yaml"), "--parallel", "1", "--out", str(out)]) == 0
    return out


def test_latency_is_measured_ranked_and_shown(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, trials = read_result(run), read_trials(run)
    assert result is not None
    assert result.promise.values["latency_ms"] > 0
    last = {row["trial"]: row["latency_ms"] for row in read_curves(run).to_pylist()}
    assert set(last) == {trial.id for trial in trials.values() if trial.ran}
    assert all(0 < value < 1e4 for value in last.values())
    assert len(set(last.values())) > 1
    assert main(["status", str(run)]) == 0
    shown = capsys.readouterr().out
    assert "objective cell_accuracy, then latency_ms" in shown
    assert "must keep latency_ms <= 10000" in shown
    assert main(["report", str(run)]) == 0
    capsys.readouterr()
    assert main(["export", str(run), "--format", "card"]) == 0
    assert "latency_ms" in capsys.readouterr().out


def test_a_latency_that_no_config_keeps_is_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = TREE | {
        "search": {
            "trials": 3,
            "objective": "cell_accuracy",
            "constraints": ["latency_ms <= 1e-4"],
        },
        "stability": {"candidates": 1, "seeds": 1, "promise_seeds": 2},
    }
    (tmp_path / "never.yaml").write_text(dump_yaml(tree))
    words = ["sweep", str(tmp_path / "never.yaml"), "--parallel", "1", "--out"]
    assert main([*words, str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert "no completed trial keeps every constraint" in said
    assert "break search.constraints 'latency_ms <= 0.0001': loosen it" in said
