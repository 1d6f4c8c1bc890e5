"""`train.compile` with a real compiler: the same numbers and bits; and without one, a line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import trm.network.compilation
from tests.support.compiled import GROWING, TinyTree, build, step, trainer
from trm.checkpoint.head import read_head
from trm.config import experiment_from
from trm.errors import UserError
from trm.network.compilation import compile_recursion, require_compiler
from trm.tasks.base import Task


@pytest.fixture
def task(tiny: TinyTree, cache: Path) -> Task:
    return experiment_from(tiny()).task.build(cache)


def test_no_compiler_is_one_line_before_training(
    tiny: TinyTree, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        UserError, match=r"^train.compile: True needs .*'no-such-compiler' is not .* false$"
    ):
        trainer(tiny, task)
    assert trainer(tiny, task, **{"train.compile": False}).model.compiled is None


def test_no_triton_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trm.network.compilation, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"^train.compile: True needs triton .* false$"):
        require_compiler("cuda")


def test_a_compiler_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no\nspace left")

    monkeypatch.setattr(trm.network.compilation, "BACKEND", broken)
    model = build()
    compile_recursion(model)
    with pytest.raises(UserError, match=r"^train.compile: True failed .*no space left.*false$"):
        step(model)


@pytest.fixture(scope="module")
def inductor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        require_compiler("cpu")
    except UserError as error:
        pytest.skip(str(error))
    return tmp_path_factory.mktemp("inductor")


def distances(mine: list[torch.Tensor], true: list[torch.Tensor]) -> list[float]:
    """Norms of the errors, relative to the norms of the true values."""
    return [
        float((one - other).float().norm() / other.float().norm())
        for one, other in zip(mine, true, strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("mixer", ["attention", "mlp_t"])
def test_it_computes_what_eager_does(mixer: str, inductor: Path) -> None:
    model = build(mixer=mixer, H_cycles=2, L_cycles=2)
    eager = step(model)
    compile_recursion(model)
    assert max(distances(step(model), eager)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("mixer", ["attention", "mlp_t"])
def test_in_bfloat16_it_is_about_as_far_from_float32_as_eager_is(
    mixer: str, inductor: Path
) -> None:
    """At most twice as far: the two round at different places, each by up to a tenth or more."""
    true = step(build(mixer=mixer, H_cycles=2, L_cycles=2))
    model = build(torch.bfloat16, mixer=mixer, H_cycles=2, L_cycles=2)
    eager = step(model)
    compile_recursion(model)
    compiled = step(model)
    assert [tensor.dtype for tensor in compiled] == [tensor.dtype for tensor in eager]
    for mine, other in zip(distances(compiled, true), distances(eager, true), strict=True):
        assert mine <= 2.0 * other + 1e-6


TRAIN = """
import json, sys
from pathlib import Path
from trm.checkpoint.reading import resume
from trm.checkpoint.writing import save_checkpoint
from trm.config import experiment_from
from trm.training.trainer import Trainer

action, tree, cache, half, whole = sys.argv[1:]
config = experiment_from(json.loads(tree))
task = config.task.build(Path(cache))
if action == "train":
    trainer = Trainer(config, task)
    reports = trainer.run()
    next(reports)
    save_checkpoint(Path(half), trainer)
else:
    other = config.model.model_copy(update={"hidden_size": 32})
    list(Trainer(config.model_copy(update={"model": other}), task).run())
    trainer = resume(Path(half), task)
    reports = trainer.run()
list(reports)
save_checkpoint(Path(whole), trainer)
"""


@pytest.mark.slow
@pytest.mark.parametrize("mixer", ["attention", "mlp_t"])
def test_resuming_in_another_process_gives_the_same_bits(
    mixer: str, tiny: TinyTree, cache: Path, inductor: Path, tmp_path: Path
) -> None:
    """The second process has trained another size before, and compiles everything anew."""
    tree = tiny(
        {
            "train.compile": True, "train.ema": 0.9, "model.mixer": mixer,
            "model.H_cycles": 2, "curriculum": GROWING,
        }
    )  # fmt: skip
    half = tmp_path / "half"
    for action in ("train", "resume"):
        environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(inductor / mixer / action)}
        whole = tmp_path / action
        arguments = [action, json.dumps(tree), str(cache), str(half), str(whole)]
        subprocess.run([sys.executable, "-c", TRAIN, *arguments], env=environment, check=True)
    for name in ("weights", "ema", "training"):
        one, other = (
            load_file(tmp_path / action / f"{name}.safetensors") for action in ("train", "resume")
        )
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one), name
    assert read_head(tmp_path / "train").resolved.compile
