"""ARC from its files to a submission, as a user has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.arc_puzzles import kaggle, puzzle

CONFIG = """
name: arc
task: {{name: arc, training: {0}/training, evaluation: {0}/evaluation, valid_puzzles: 1,
       augmentations: 6, votes: 3}}
model: {{mixer: attention, hidden_size: 8, num_heads: 2, L_layers: 1, H_cycles: 1, L_cycles: 1,
        expansion: 1.0, swiglu_multiple: 8, puzzle_emb_len: 1, halt_max_steps: 2}}
optimizer: {{name: adamw, lr: 1e-3, lr_warmup_steps: 1}}
train: {{batch_size: 4, budget: {{steps: 3}}, reports: 1, ema: null}}
"""


def test_from_folders_to_a_submission(cli: Any, tmp_path: Path) -> None:
    for name, first in (("training", 0), ("evaluation", 100)):
        (tmp_path / name).mkdir()
        for n in range(3):
            tree = json.dumps(puzzle(first + n, asked=2))
            (tmp_path / name / f"p{first + n}.json").write_text(tree)
    config = tmp_path / "arc.yaml"
    config.write_text(CONFIG.format(tmp_path))
    run = tmp_path / "run"
    assert cli("train", config, "--out", run).code == 0
    sent = tmp_path / "submission.json"
    result = cli("eval", run, "--split", "test", "--submission", sent, "--json")
    assert (result.code, result.err) == (0, "")
    row = json.loads(result.out)
    assert row["examples"] == 3 * 2 * 3
    assert row["pass@1"] <= row["pass@2"] <= row["pass@5"]
    attempts = json.loads(sent.read_text())
    assert {name: len(found) for name, found in attempts.items()} == dict.fromkeys(
        ("p100", "p101", "p102"), 2
    )
    assert all(set(one) == {"attempt_1", "attempt_2"} for f in attempts.values() for one in f)
    assert "pass@2" in cli("eval", run, "--split", "test").out
    for words in (["--examples", "2"], ["--split", "train"]):
        refused = cli("eval", run, "--submission", sent, *words)
        assert refused.code == 2
        assert "needs a task whose questions are voted on" in refused.err


@pytest.mark.parametrize("kept_back", [[("p100", 1)], None], ids=["some", "all"])
def test_what_kaggle_keeps_back_is_predicted_and_not_counted(
    kept_back: list[tuple[str, int]] | None, cli: Any, tmp_path: Path
) -> None:
    files = kaggle(tmp_path, kept_back)
    config = tmp_path / "arc.yaml"
    text = CONFIG.format(tmp_path)
    for part in files:
        text = text.replace(f"{tmp_path}/{part}", files[part])
    config.write_text(text)
    kept = 1 if kept_back else 6
    shown = cli("tasks", config).out
    assert f"  test  {kept * 3:>9} more, whose answers are kept back" in shown
    run, sent = tmp_path / "run", tmp_path / "submission.json"
    assert cli("train", config, "--out", run).code == 0
    result = cli("eval", run, "--split", "test", "--submission", sent)
    assert (result.code, result.err) == (0, "")
    answered = 5 if kept_back else 2  # or the questions of one training puzzle
    assert result.out.startswith(f"{answered * 3} puzzles of test\n")
    words = f"  3 puzzles in {sent}; those whose outputs are kept back count in no figure"
    assert words in result.out.splitlines()
    attempts = json.loads(sent.read_text())
    assert {name: len(found) for name, found in attempts.items()} == {
        "p100": 2, "p101": 2, "p102": 2,
    }  # fmt: skip
    assert all(set(one) == {"attempt_1", "attempt_2"} for f in attempts.values() for one in f)
    refused = cli("eval", run, "--split", "test", "--examples", "3", "--submission", sent)
    assert (refused.code, refused.err.count("\n")) == (2, 1)


def test_a_task_without_votes_has_no_submission(cli: Any, sudoku_run: Path, tmp_path: Path) -> None:
    refused = cli("eval", sudoku_run, "--submission", tmp_path / "s.json")
    assert refused.code == 2
    assert refused.err.count("\n") == 1
    assert not (tmp_path / "s.json").exists()
