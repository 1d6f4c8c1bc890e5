"""`trm eval` and `trm solve` with drafts: one model proposes, another refines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.cli import main
from trm.run.training import train
from trm.solver import load
from trm.tasks.drafts import write_drafts

TREE: dict[str, Any] = {
    "task": {"name": "sudoku", "box": [2, 2], "blanks": 6, "train_examples": 200,
             "valid_examples": 20, "test_examples": 20},
    "model": {"mixer": "mlp_t", "hidden_size": 16, "L_layers": 1, "H_cycles": 1, "L_cycles": 1,
              "expansion": 1.0, "swiglu_multiple": 16, "puzzle_emb_len": 1, "halt_max_steps": 2},
    "optimizer": {"name": "adamw", "lr": 1e-2},
    "train": {"batch_size": 32, "budget": {"steps": 60}, "reports": 1, "ema": None,
              "draft": {"share": 0.5, "corruption": 0.3}},
}  # fmt: skip


@pytest.fixture(scope="module")
def refiner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refining") / "run"
    train(TREE, out=folder)
    return folder


def test_answers_of_one_are_drafts_of_another(
    refiner: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drafts = tmp_path / "drafts.jsonl"
    assert main(["eval", str(refiner), "--split", "test", "--answers", str(drafts), "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert "drafts" not in alone
    assert len(drafts.read_text().splitlines()) == 20
    assert main(["eval", str(refiner), "--split", "test", "--drafts", str(drafts), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["drafts"]["given"] == 20
    assert found["drafts"]["draft_accuracy"] == pytest.approx(alone["exact_accuracy"])
    assert found["drafts"]["exact_accuracy_without"] == pytest.approx(alone["exact_accuracy"])
    assert found["drafts"]["exact_accuracy"] == pytest.approx(found["exact_accuracy"])
    assert main(["eval", str(refiner), "--split", "test", "--drafts", str(drafts)]) == 0
    assert "of 20 puzzles that have a draft" in capsys.readouterr().out


def test_what_becomes_of_right_and_wrong_drafts_is_counted(
    refiner: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    solver = load(refiner)
    test = solver.split("test")
    some = test.take(np.arange(8))
    proposed = some.labels.copy()
    proposed[4:] = np.roll(proposed[4:], 1, axis=1)
    write_drafts(tmp_path / "drafts.jsonl", some, proposed)
    words = ["eval", str(refiner), "--split", "test", "--drafts", str(tmp_path / "drafts.jsonl")]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["drafts"]
    assert (found["given"], found["draft_accuracy"]) == (8, 0.5)
    right = solver.task.right(
        some.inputs, some.labels, solver.think(some, drafts=proposed).answers[-1]
    )
    assert found["exact_accuracy"] == pytest.approx(right.mean())
    assert found["put_right"] == pytest.approx(right[4:].mean())
    assert found["spoilt"] == pytest.approx(1 - right[:4].mean())


def test_one_puzzle_begins_from_its_draft(
    refiner: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    solver = load(refiner)
    test = solver.split("test")
    write_drafts(tmp_path / "drafts.jsonl", test.take(np.arange(3)), test.labels[:3])
    words = ["solve", str(refiner), "test:2", "--json"]
    assert main([*words, "--drafts", str(tmp_path / "drafts.jsonl")]) == 0
    steps = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = solver.solve(test.inputs[2], draft=test.labels[2])
    assert [one["halt_probability"] for one in steps] == [a.halt_probability for a in expected]
    assert main(words) == 0
    without = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert without != steps


def test_what_does_not_go_together_is_one_line(
    refiner: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*words: str) -> str:
        assert main(list(words)) == 2
        printed = capsys.readouterr().err
        assert printed.count("\n") == 1
        return printed

    test = load(refiner).split("test")
    file = tmp_path / "drafts.jsonl"
    write_drafts(file, test.take(np.arange(2)), test.labels[:2])
    drafts = ("--drafts", str(file))
    assert "holds no draft of any of these puzzles" in refused("eval", str(refiner), *drafts)
    assert "holds no draft of this puzzle" in refused("solve", str(refiner), "test:5", *drafts)
    assert "does not go with --depth" in refused("eval", str(refiner), *drafts, "--depth", "1,2")
    assert "does not go with --depth" in refused(
        "solve", str(refiner), "test:1", *drafts, "--breadth", "2"
    )
    assert "cannot be read" in refused("eval", str(refiner), "--drafts", str(tmp_path / "none"))
    assert "--answers" in refused("eval", str(refiner), "--answers", str(tmp_path / "no" / "x"))
