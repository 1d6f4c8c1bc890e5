"""A checkpoint keeps the vocabulary of its data, and is refused with data of another."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from trm.checkpoint.head import read_head
from trm.checkpoint.reading import load_model
from trm.config import load_experiment
from trm.errors import UserError
from trm.files.run_folder import latest_checkpoint
from trm.plugins import code_hashes
from trm.run.training import train
from trm.solver import load


def tree(path: Path, **keys: Any) -> dict[str, Any]:
    return {
        "task": {"name": "data", "file": str(path), **keys},
        "model": {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "halt_max_steps": 2},
        "train": {"batch_size": 8, "budget": {"steps": 2}, "reports": 1},
    }


def digits(path: Path, one: str = "1") -> Path:
    rows = [f"{k:04b},{k:04b}".replace("1", one) for k in range(16)]
    path.write_text("\n".join(["inputs,labels", *rows]))
    return path


def test_another_vocabulary_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRM_CACHE", str(tmp_path / "cache"))
    path = digits(tmp_path / "a.csv")
    folder = train(tree(path), out=tmp_path / "run").folder
    checkpoint = latest_checkpoint(folder)
    assert checkpoint is not None
    assert read_head(checkpoint).vocabulary == ("<pad>", "0", "1")
    assert load(folder).solve("0101")[-1].tokens.shape == (4,)
    digits(path, "x")
    with pytest.raises(UserError, match="another vocabulary: its token '1' is 'x'"):
        load(folder)
    other = load_experiment(tree(digits(tmp_path / "b.csv", "2"))).task.build()
    with pytest.raises(UserError, match="another vocabulary"):
        load_model(checkpoint, other)


def test_the_module_of_a_verifier_is_a_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rules_of_mine.py").write_text("def right(given, answer): return given == answer\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRM_CACHE", str(tmp_path / "cache"))
    path = digits(tmp_path / "a.csv")
    experiment = load_experiment(tree(path, verifier="rules_of_mine:right"))
    assert experiment.modules == ["rules_of_mine"]
    assert list(code_hashes(experiment.modules)) == ["rules_of_mine"]
    sys.modules.pop("rules_of_mine")
    folder = train(experiment, out=tmp_path / "run").folder
    # A run folder's own module is not run.
    sys.modules.pop("rules_of_mine")
    (tmp_path / "rules_of_mine.py").rename(folder / "rules_of_mine.py")
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match="rules_of_mine"):
        load(folder)
