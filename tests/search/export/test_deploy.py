"""Graphs that run without this project give the checkpoint's answers, row by row."""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from search.cli import main
from search.export.deploy import _described, deploy
from search.export.onnx_format import loop_model, step_model
from search.export.onnx_int8 import int8_model
from search.export.onnx_run import Thinker
from trm.deployment.graphs import SupervisionStep
from trm.evaluation import watched
from trm.learning.halting_rules import (
    CycleHalting,
    HaltingConfig,
    HaltingRule,
    ResidualHalting,
    UnchangedHalting,
)
from trm.run.training import train
from trm.solver import Solver, load

CONFIG: dict[str, Any] = {
    "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 256,
             "valid_examples": 40, "test_examples": 8},
    "model": {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 1, "L_layers": 1,
              "expansion": 1.0, "swiglu_multiple": 16, "puzzle_emb_len": 1, "halt_max_steps": 3},
    "optimizer": {"name": "adamw", "lr": 1e-2, "lr_warmup_steps": 5},
    "train": {"batch_size": 32, "budget": {"steps": 40}, "reports": 1, "ema": None},
}  # fmt: skip


@pytest.fixture(scope="module")
def solver(tmp_path_factory: pytest.TempPathFactory) -> Solver:
    return load(train(CONFIG, out=tmp_path_factory.mktemp("run") / "mine").folder, "cpu")


@pytest.fixture(scope="module")
def cells(solver: Solver) -> tuple[np.ndarray, np.ndarray]:
    split = solver.split("valid")
    return split.inputs, split.puzzle_identifiers


def said(
    solver: Solver, rule: HaltingRule, inputs: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """What the checkpoint's own loop makes of it: answers where each row stops, and that step."""
    tokens, kinds = torch.from_numpy(inputs), torch.zeros(len(inputs), dtype=torch.long)
    answers = np.zeros_like(inputs)
    taken = np.zeros(len(inputs), np.int64)
    for step, (output, stops) in enumerate(watched(solver.model, tokens, kinds, steps, rule), 1):
        assert stops is not None
        open_ = taken == 0
        answers[open_] = output.logits.argmax(-1).numpy()[open_]
        taken[open_ & (stops.numpy() | (step == steps))] = step
    return answers, taken


THRESHOLD = 0.005
RULES = [
    ResidualHalting(threshold=0.1),
    UnchangedHalting(),
    CycleHalting(period=2),
]


@pytest.fixture(scope="module")
def folder(solver: Solver, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes; tracing takes seconds, so it is done once."""
    out = tmp_path_factory.mktemp("graphs") / "deployed"
    assert main(["export", str(solver.folder), "--format", "onnx", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def step(folder: Path) -> onnx.ModelProto:
    return onnx.load(folder / "step.onnx")


def agree(
    thinker: Thinker, solver: Solver, rule: HaltingRule, cells: tuple[np.ndarray, np.ndarray]
) -> None:
    inputs, kinds = cells
    for steps, batch in ((3, 40), (12, 40), (12, 7), (5, 1)):
        answers, taken = said(solver, rule, inputs, steps)
        found = thinker.think(inputs, kinds, steps, THRESHOLD, batch=batch)
        same = found.taken == taken
        assert same.mean() > 0.97
        assert (found.answers == answers)[same].mean() > 0.99
    assert set(thinker.think(inputs, kinds, 4).taken.tolist()) == {4}, "at 1 none stops"
    assert len(set(said(solver, rule, inputs, 12)[1].tolist())) > 1, "the rule tells rows apart"


def test_a_loop_stops_each_row_at_its_threshold(
    folder: Path, solver: Solver, cells: tuple[np.ndarray, np.ndarray]
) -> None:
    agree(Thinker(folder / "think.onnx"), solver, HaltingConfig(eval_threshold=THRESHOLD), cells)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_loop_stops_each_row_where_its_rule_does(
    rule: HaltingRule, solver: Solver, cells: tuple[np.ndarray, np.ndarray]
) -> None:
    graph = loop_model(step_model(SupervisionStep(solver.model, rule), 9))
    agree(Thinker(graph.SerializeToString()), solver, rule, cells)


@pytest.mark.parametrize("kind", ["weights", "activations"])
def test_int8_answers_nearly_alike_and_is_smaller(
    kind: Any, step: onnx.ModelProto, cells: tuple[np.ndarray, np.ndarray]
) -> None:
    small = int8_model(step, kind)
    whole, rounded = (Thinker(loop_model(m).SerializeToString()) for m in (step, small))
    first, second = (one.think(*cells, 3) for one in (whole, rounded))
    assert (first.answers == second.answers).mean() > 0.95
    assert not np.array_equal(first.chance, second.chance)
    assert held(small) < 0.6 * held(step)


def held(model: onnx.ModelProto) -> int:
    return sum(len(one.raw_data) for one in model.graph.initializer)


def names_no_machine(content: bytes) -> bool:
    places = (Path.home(), Path(__file__).parents[3], Path(tempfile.gettempdir()))
    return b".py" not in content and not any(str(place).encode() in content for place in places)


def test_nothing_in_a_graph_names_this_machine(folder: Path, step: onnx.ModelProto) -> None:
    for path in folder.iterdir():
        assert names_no_machine(path.read_bytes()), path
    for kind in ("weights", "activations"):
        small = int8_model(step, kind)
        assert names_no_machine(small.SerializeToString()), kind
        assert not small.metadata_props


def test_a_graph_loads_and_runs_without_a_word(
    folder: Path, step: onnx.ModelProto, cells: tuple[np.ndarray, np.ndarray],
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """As its user loads it: nothing is asked of ONNX Runtime, which warns of what is not used."""
    graphs: list[str | bytes] = [str(path) for path in folder.glob("*.onnx")]
    for kind in ("weights", "activations"):
        small = int8_model(step, kind)
        graphs += [small.SerializeToString(), loop_model(small).SerializeToString()]
    capfd.readouterr()
    asked = {
        "inputs": cells[0].astype(np.int64),
        "puzzle_identifiers": cells[1].astype(np.int64),
        "steps": np.array(3),
        "threshold": np.array(1.0, np.float32),
    }
    for graph in graphs:
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        if {one.name for one in session.get_inputs()} == asked.keys():
            session.run(None, asked)
    assert capfd.readouterr() == ("", "")


def test_the_folder_says_what_its_graphs_take(
    folder: Path, solver: Solver, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.loads((folder / "model.json").read_text())
    assert (told["cells"], told["tokens"], told["steps"]) == (9, 9, 3)
    assert told["threshold"] == 0.5
    step = SupervisionStep(solver.model, HaltingConfig(threshold=0.7, eval_threshold=0.9))
    assert _described(solver, step, "onnx", None)["threshold"] == 0.9
    example = told["example"]
    tokens, kinds = np.array([example["inputs"]]), np.array([example["puzzle_identifier"]])
    assert np.array_equal(solver.task.parse("\n".join(example["puzzle"])), tokens[0])
    found = Thinker(folder / "think.onnx").think(tokens, kinds, told["steps"])
    assert found.answers[0].tolist() == example["answers"]
    assert {path.name for path in folder.iterdir()} == {"model.json", "step.onnx", "think.onnx"}
    words = ["export", str(solver.folder), "--format", "onnx", "--out", str(folder)]
    assert main(words) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.slow
def test_the_graphs_of_torch_answer_alike(
    solver: Solver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deployed"
    assert main(["export", str(solver.folder), "--format", "torch", "--out", str(out)]) == 0
    assert "on 40 puzzles of valid: 100.0000% of the cells" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {"model.json", "step.pt2", "think.pt2"}
    for path in out.glob("*.pt2"):
        with zipfile.ZipFile(path) as archive:
            assert all(names_no_machine(archive.read(name)) for name in archive.namelist())
    step = torch.export.load(out / "step.pt2").module()
    blank = SupervisionStep(solver.model).blank(torch.zeros(5, 9, dtype=torch.int64))
    tokens = torch.from_numpy(solver.split("valid").inputs[:5]).long()
    kinds, one = torch.zeros(5, dtype=torch.int64), torch.ones((), dtype=torch.int64)
    answers = step(tokens, kinds, one, torch.tensor(0.5), *blank)[0]
    expected = solver.think(solver.split("valid").take(slice(5)), 1).answers[0]
    assert np.array_equal(answers.numpy(), expected)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "torch", "--int8", "weights", "--out", "x"], "--int8: 'weights' goes with"),
        (["--format", "onnx"], "--out: is missing"),
        (["--format", "onnx", "--out", "x", "--halt", "never"], "--halt"),
        (["--format", "onnx", "--out", "x", "--front", "y"], "does not go with --format onnx"),
    ],
)
def test_what_does_not_go_together_is_a_line(
    words: list[str], said: str, solver: Solver, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(solver.folder), *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_missing_packages_are_named(
    solver: Solver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("search.export.onnx_format.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'trm-search\[deploy\]'"):
        deploy(solver, tmp_path / "x", "onnx")
    words = ["bench", str(solver.folder), "--seconds", "0.01", "--examples", "4", "--batch", "1"]
    assert main([*words, "--engine", "onnx-int8-weights"]) == 2
    assert "error: --engine onnx-int8-weights: onnx is not installed" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["eval", "solve", "bench", "export"])
def test_a_folder_of_graphs_is_no_checkpoint(
    command: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"solve": ["valid:0"], "export": ["--format", "onnx", "--out", str(tmp_path / "x")]}
    assert main([command, str(folder), *more.get(command, [])]) == 2
    error = capsys.readouterr().err
    assert "holds graphs for other programs: give the run or checkpoint" in error
    assert error.count("\n") == 1
