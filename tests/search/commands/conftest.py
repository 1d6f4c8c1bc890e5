"""The command line in this process, and one tiny trained model of each task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from search.cli import main
from trm.files.yaml12 import dump_yaml

SUDOKU = {
    "name": "sudoku", "box": [2, 2], "blanks": 4,
    "train_examples": 300, "valid_examples": 30, "test_examples": 20,
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What a command printed and its exit code."""

    code: int
    out: str
    err: str


Cli = Callable[..., Result]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """`cli("train", path)`: run a command in this process."""

    def run(*words: Any) -> Result:
        capsys.readouterr()
        code = main([str(word) for word in words])
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return run


@pytest.fixture
def refused(cli: Cli) -> Callable[..., str]:
    """`refused("train", path)`: the one line with which bad input ends, without its prefix."""

    def run(*words: Any) -> str:
        result = cli(*words)
        assert result.code == 2, result
        assert result.err.startswith("trm: error: ")
        assert result.err.endswith("\n")
        assert result.err.count("\n") == 1
        assert "Traceback" not in result.err
        return result.err.removeprefix("trm: error: ").rstrip("\n")

    return run


@pytest.fixture
def config(tiny: Callable[..., dict[str, Any]], tmp_path: Path) -> Callable[..., Path]:
    """`config({"train.seed": 3})`: the YAML file of a tiny experiment."""

    def write(changes: dict[str, Any] | None = None, name: str = "tiny.yaml") -> Path:
        path = tmp_path / name
        path.write_text(dump_yaml(tiny(changes)))
        return path

    return write


@pytest.fixture(scope="session")
def sudoku_run(
    tiny: Callable[..., dict[str, Any]], cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a training on 4x4 Sudoku that solves most puzzles."""
    folder = tmp_path_factory.mktemp("sudoku")
    tree = tiny(
        {
            "name": "small",
            "task": SUDOKU,
            "model.hidden_size": 32,
            "model.swiglu_multiple": 32,
            "model.H_cycles": 1,
            "train.batch_size": 32,
            "train.budget.steps": 100,
        }
    )
    (folder / "small.yaml").write_text(dump_yaml(tree))
    assert main(["train", str(folder / "small.yaml"), "--out", str(folder / "run")]) == 0
    return folder / "run"
