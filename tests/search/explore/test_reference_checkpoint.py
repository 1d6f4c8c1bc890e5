"""`trm import` of a file of the reference's weights, and `trm export` back, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from search.cli import main
from search.explore.imported.reference_checkpoint import _task
from tests.support import reference_arch
from trm.errors import UserError
from trm.reference.checkpoints import FoundWeights, read_recipe
from trm.solver import load

TASK = {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 64}
TASK |= {"valid_examples": 16, "test_examples": 16}
ARCH = reference_arch.ARCH | {
    "halt_max_steps": 3, "L_cycles": 1, "L_layers": 1, "hidden_size": 16, "num_heads": 2,
    "expansion": 1, "puzzle_emb_len": 2,
}  # fmt: skip
RECIPE: dict[str, Any] = {
    "data_paths": ["data/gone"], "global_batch_size": 8, "epochs": 10, "eval_interval": 5,
    "lr": 0.0003, "lr_min_ratio": 1.0, "lr_warmup_steps": 5, "beta1": 0.9, "beta2": 0.95,
    "weight_decay": 0.5, "puzzle_emb_lr": 0.01, "puzzle_emb_weight_decay": 0.1, "seed": 3,
    "ema": True, "ema_rate": 0.9, "freeze_weights": False, "evaluators": [],
}  # fmt: skip


def theirs(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """A state dict in the reference's layout, for `ARCH` on 3x3 arrows."""
    draw = torch.Generator().manual_seed(0)
    shapes = {
        "embed_tokens.embedding_weight": (9, 16), "lm_head.weight": (9, 16),
        "q_head.weight": (2, 16), "q_head.bias": (2,), "puzzle_emb.weights": (1, 16),
        "H_init": (16,), "L_init": (16,),
        "L_level.layers.0.self_attn.qkv_proj.weight": (48, 16),
        "L_level.layers.0.self_attn.o_proj.weight": (16, 16),
        "L_level.layers.0.mlp.gate_up_proj.weight": (512, 16),
        "L_level.layers.0.mlp.down_proj.weight": (16, 256),
    }  # fmt: skip
    found = {
        f"_orig_mod.model.inner.{name}": torch.randn(shape, generator=draw) / 4
        for name, shape in shapes.items()
    }
    for name in ("H_init", "L_init"):
        found[f"_orig_mod.model.inner.{name}"] = found[f"_orig_mod.model.inner.{name}"].to(dtype)
    return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    torch.save(theirs(), "step_80")
    Path("arch.yaml").write_text(yaml.safe_dump(ARCH))
    Path("all_config.yaml").write_text(yaml.safe_dump({"arch": ARCH, **RECIPE}))
    Path("task.yaml").write_text(yaml.safe_dump({"task": TASK}))
    return tmp_path


IMPORT = ["import", "step_80", "--config", "arch.yaml", "--task", "task.yaml", "--out", "mine"]


def test_weights_evaluate_solve_and_are_fine_tuned(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(IMPORT) == 0
    said = capsys.readouterr().out
    assert "float32; arrows: 9 cells of 9 tokens, 1 puzzle identifiers; in mine" in said
    assert "says nothing of the recipe" in said
    assert main(["eval", "mine", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == 16
    assert main(["solve", "mine", "valid:0"]) == 0
    tuned = ["train", "mine/config.yaml", "--from", "mine", "--out", "tuned"]
    tuned += ["--set", "train.budget.steps=2", "--set", "train.batch_size=8"]
    capsys.readouterr()
    assert main([*tuned, "--set", "train.reports=1"]) == 0
    assert "starts from the averaged weights of step 80" in capsys.readouterr().err


def test_weights_go_back_as_they_came(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(IMPORT) == 0
    assert main(["export", "mine", "--format", "reference-weights", "--out", "back/step_80"]) == 0
    back, first = torch.load("back/step_80", weights_only=True), theirs()
    assert back.keys() == first.keys()
    for name, tensor in first.items():
        assert back[name].dtype == tensor.dtype
        assert torch.equal(back[name], tensor), name
    text = Path("back/step_80.yaml").read_text()
    assert yaml.safe_load(text) == ARCH | {"puzzle_emb_ndim": 16, "expansion": 1.0}
    assert "+load_checkpoint=" in text
    short = ["export", "mine", "--format", "reference-weights", "--prefix", "model."]
    assert main([*short, "--out", "plain"]) == 0
    assert all(name.startswith("model.inner.") for name in torch.load("plain", weights_only=True))


def test_a_bfloat16_reference_stays_bfloat16(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(theirs(torch.bfloat16), "step_80")
    Path("arch.yaml").write_text(yaml.safe_dump(ARCH | {"forward_dtype": "bfloat16"}))
    assert main(IMPORT) == 0
    solver = load("mine", "cpu")
    assert solver.model.dtype == torch.bfloat16
    assert solver.model.fresh_latent(1).z_H.dtype == torch.bfloat16
    assert solver.model.lm_head.weight.dtype == torch.float32
    assert main(["export", "mine", "--format", "reference-weights", "--out", "back"]) == 0
    back, first = torch.load("back", weights_only=True), theirs(torch.bfloat16)
    assert all(back[n].dtype == t.dtype and torch.equal(back[n], t) for n, t in first.items())
    assert yaml.safe_load(Path("back.yaml").read_text())["forward_dtype"] == "bfloat16"


def test_initial_states_in_float32_make_all_of_it_float32(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("arch.yaml").write_text(yaml.safe_dump(ARCH | {"forward_dtype": "bfloat16"}))
    assert main(IMPORT) == 0
    assert "H_init and L_init in float32" in capsys.readouterr().out
    assert load("mine", "cpu").model.dtype == torch.float32


def test_the_whole_config_brings_its_recipe(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["import", "step_80", "all_config.yaml", "--task", "task.yaml", "--out", "mine"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "epochs 10: train.budget.steps 80, as an epoch here has 64 puzzles, 8 steps" in said
    config = load("mine", "cpu").head.config
    assert (config.optimizer.name, config.optimizer.lr) == ("adam_atan2", 0.0003)
    assert config.optimizer.puzzle_emb_weight_decay == 0.1
    assert (config.train.batch_size, config.train.seed, config.train.ema) == (8, 3, 0.9)
    assert (config.train.budget.steps, config.train.reports) == (80, 2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "sudoku4"], "knows 9 tokens, and the task has 6"),
        ([], "--task: is missing: weights of 9 tokens and 1 puzzle identifiers"),
        (["--task", "task.yaml", "--metric", "x"], "--metric: 'x' goes with a history"),
        (["--task", "task.yaml", "--set", "model.hidden_size=32"], "arch.hidden_size asks for"),
        (["--task", "task.yaml", "--set", "model.L_layers=2"], "has no inner.L_level.layers.1"),
    ],
)
def test_what_does_not_fit_is_a_line(
    words: list[str], said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["import", "step_80", "--config", "arch.yaml", "--out", "mine"]
    assert main([*base, *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not Path("mine").exists()


def test_a_config_of_another_model_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = "recursive_reasoning.hrm@HierarchicalReasoningModel_ACTV1"
    Path("arch.yaml").write_text(yaml.safe_dump(ARCH | {"name": other}))
    assert main(IMPORT) == 2
    assert "arch.name" in capsys.readouterr().err
    Path("arch.yaml").write_text("task: arrows\n")
    assert main(IMPORT) == 2
    assert "holds no arch config of the reference" in capsys.readouterr().err


def test_what_the_reference_does_not_have_is_not_exported(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {
        "task": TASK,
        "model": {"hidden_size": 16, "num_heads": 2, "norm": "pre", "H_cycles": 1, "L_cycles": 1},
        "train": {"batch_size": 8, "budget": {"steps": 1}, "reports": 1},
    }
    Path("own.yaml").write_text(yaml.safe_dump(config))
    assert main(["train", "own.yaml", "--out", "own"]) == 0
    assert main(["export", "own", "--format", "reference-weights", "--out", "file"]) == 2
    assert "model.norm pre: the reference has no such model" in capsys.readouterr().err
    assert not Path("file").exists()
    assert main(["export", "own", "--format", "reference-weights"]) == 2
    assert "--out: is missing" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["folder", "words", "nothing"])
@pytest.mark.parametrize("more", [[], ["--task", "task.yaml"]])
def test_what_holds_no_weights_is_not_taken_for_a_history(
    source: str, more: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("folder").mkdir()
    Path("words").write_text("hello")
    Path("nothing").touch()
    assert main(["import", source, "--config", "arch.yaml", "--out", "mine", *more]) == 2
    error = capsys.readouterr().err
    assert f"{source}: " in error
    assert "give the file that `torch.save` wrote" in error
    assert error.count("\n") == 1


def test_positions_tell_what_the_vocabulary_does_not(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of as many tokens as a maze's, and of other cells: the mazes are not made first."""
    weights = theirs()
    name = "_orig_mod.model.inner."
    weights[f"{name}embed_tokens.embedding_weight"] = torch.zeros(6, 16)
    weights[f"{name}embed_pos.embedding_weight"] = torch.zeros(11, 16)
    torch.save(weights, "step_80")
    assert main([*IMPORT[:4], "--out", "mine"]) == 2
    error = capsys.readouterr().err
    assert (
        "--task: is missing: weights of 6 tokens and 1 puzzle identifiers for 11 positions" in error
    )


@pytest.mark.parametrize(("positions", "known"), [(None, True), (902, True), (901, False)])
def test_mazes_are_known_by_tokens_and_positions(positions: int | None, known: bool) -> None:
    weights = {"embed_tokens": torch.zeros(6, 16), "puzzle_emb": torch.zeros(1, 16)}
    if positions is not None:
        weights["layers.0.mlp_t.gate_up_proj.weight"] = torch.zeros(4, positions)
    recipe = read_recipe(ARCH | {"puzzle_emb_ndim": 16}, Path("arch.yaml"), torch.float32)
    found = FoundWeights(weights, 0, torch.float32)
    if known:
        assert _task(None, recipe, found)[0] == {"name": "maze", "size": 30}
    else:
        with pytest.raises(UserError, match="for 901 positions do not say"):
            _task(None, recipe, found)
