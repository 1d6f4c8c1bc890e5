"""`trm bench`: what it times is what the checkpoint answers, and it says where it was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from search.cli import main
from trm.deployment.timing import joules, timed
from trm.run.training import train
from trm.solver import load

CONFIG: dict[str, Any] = {
    "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 64,
             "valid_examples": 24, "test_examples": 8},
    "model": {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 1, "L_layers": 1,
              "expansion": 1.0, "swiglu_multiple": 16, "puzzle_emb_len": 1, "halt_max_steps": 3},
    "train": {"batch_size": 16, "budget": {"steps": 3}, "reports": 1, "ema": None},
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(CONFIG, out=tmp_path_factory.mktemp("run") / "mine").folder


@pytest.mark.slow
def test_torch_and_onnx_stand_side_by_side(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", str(run), "--engine", "torch", "--engine", "onnx", "--batch", "1,5"]
    assert main([*words, "--threshold", "1,0.001", "--seconds", "0.01", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["puzzles"], found["steps"], found["threads"]) == (24, 3, 1)
    assert found["parameters"] == sum(p.numel() for p in load(run, "cpu").model.parameters())
    assert [one["engine"] for one in found["quality"]] == ["torch", "onnx"]
    own = load(run, "cpu").evaluate().exact_accuracy
    for one in found["quality"]:
        assert one["right"]["1"] == own
        assert one["same"] == one["same_deeper"] == 1.0
        assert one["megabytes"] > 0
    assert len(found["rows"]) == 2 * 2 * 2
    for row in found["rows"]:
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert row["mean_steps"] == (3.0 if row["threshold"] == 1.0 else 1.0)
        assert row["calls"] >= 5


def test_the_table_names_the_device(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", str(run), "--engine", "torch", "--seconds", "0.01", "--examples", "8"]
    assert main([*words, "--batch", "2"]) == 0
    said = capsys.readouterr().out
    assert "1 thread; " in said.splitlines()[0]
    assert "8 puzzles of valid" in said.splitlines()[0]
    assert sum(line.startswith("torch ") for line in said.splitlines()) == 1 + 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--batch", "0"], "must be a whole number from 1"),
        (["--threshold", "2"], "must lie above 0, and be 1 at most"),
        (["--seconds", "-1"], "must be seconds"),
        (["--engine", "tensorrt"], "invalid choice"),
    ],
)
def test_bad_input_is_a_line(
    words: list[str], said: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(run), *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_energy_is_what_the_packages_counted(tmp_path: Path) -> None:
    for name, spent in (
        ("intel-rapl:0", 2_500_000),
        ("intel-rapl:0:0", 9),
        ("intel-rapl:1", 500_000),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{spent}\n")
    assert joules(torch.device("cpu"), tmp_path) == 3.0
    (tmp_path / "intel-rapl:1/energy_uj").write_text("none\n")
    assert joules(torch.device("cpu"), tmp_path) is None
    assert joules(torch.device("meta"), tmp_path) is None


def test_calls_are_counted_and_none_is_skipped() -> None:
    seen: list[int] = []
    found = timed(seen.append, 0.0, torch.device("cpu"))
    assert seen == [0, 1, 0, 1, 2, 3, 4]
    assert found.calls == 5
