"""Graphs that are exported from a sweep's run folder answer as `trm solve RUN` does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from search.cli import main
from search.export.onnx_run import Thinker
from search.export.weights import weights_of
from tests.support.damaged import finished_run
from tests.support.weighted import with_weights
from trm.solver import load

AT = 0.0065
"""A halting probability that models which know nothing pass here and there."""

Answers = Callable[[np.ndarray, np.ndarray, int, float], np.ndarray]


def of_onnx(folder: Path) -> Answers:
    thinker = Thinker(folder / "think.onnx")

    def answers(tokens: np.ndarray, kinds: np.ndarray, steps: int, at: float) -> np.ndarray:
        return thinker.think(tokens, kinds, steps, at).answers

    return answers


def of_torch(folder: Path) -> Answers:
    think = torch.export.load(folder / "think.pt2").module()

    def answers(tokens: np.ndarray, kinds: np.ndarray, steps: int, at: float) -> np.ndarray:
        given = (torch.from_numpy(tokens).long(), torch.from_numpy(kinds).long())
        with torch.no_grad():
            found: np.ndarray = think(*given, torch.tensor(steps), torch.tensor(at))[0].numpy()
        return found

    return answers


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_weights(finished_run(tmp_path_factory.mktemp("run") / "finished"))


@pytest.mark.parametrize(
    ("format", "reads"),
    [("onnx", of_onnx), pytest.param("torch", of_torch, marks=pytest.mark.slow)],
)
def test_a_run_folder_becomes_graphs_that_answer_as_solve_does(
    format: str, reads: Callable[[Path], Answers], run: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "deployed"
    assert main(["export", str(run), "--format", format, "--out", str(out)]) == 0
    assert "on 40 puzzles of valid: 100.0000% of the cells" in capsys.readouterr().out
    told = json.loads((out / "model.json").read_text())
    assert (told["steps"], told["threshold"]) == (2, 0.5)
    with weights_of(run) as weights:
        split = load(weights.checkpoint, "cpu").split("test")
    answers, rule = reads(out), f"{{name: threshold, eval_threshold: {AT}}}"
    differ = 0
    for index in range(8):
        rows = slice(index, index + 1)
        asked = split.inputs[rows], split.puzzle_identifiers[rows], told["steps"]
        full, early = answers(*asked, 1.0)[0].tolist(), answers(*asked, AT)[0].tolist()
        puzzle = ["solve", str(run), f"test:{index}", "--json"]
        assert main(puzzle) == 0
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["answer"] == full
        assert main([*puzzle, "--halt", rule, "--pick", "q"]) == 0
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["answer"] == early
        differ += full != early
    assert differ
