"""`train.compile`: how many graphs there are, what they compute, and life without a compiler.

Most tests count the graphs that Dynamo makes and run them eagerly, which needs no C++ compiler.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import trm.network.compilation
from tests.support.heads import edit_old_head
from trm.checkpoint.head import read_head
from trm.checkpoint.reading import load_model, resume
from trm.checkpoint.writing import save_checkpoint
from trm.config import experiment_from
from trm.errors import UserError
from trm.network.compilation import compile_recursion, require_compiler
from trm.network.model import TRM, ModelConfig
from trm.tasks.base import Task
from trm.training.trainer import Trainer

TinyTree = Callable[..., dict[str, Any]]

SEQ_LEN, VOCAB = 9, 7
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_heads": 2,
    "L_layers": 2,
    "expansion": 1.0,
    "swiglu_multiple": 16,
    "puzzle_emb_len": 1,
}
GROWING = {
    "depth": {
        "name": "stages",
        "stages": [
            {"at": 0.0, "H_cycles": 1, "L_cycles": 1},
            {"at": 0.3, "L_cycles": 1},
            {"at": 0.6},
        ],
    }
}


class Counting:
    """A backend that runs a graph as it is, and counts the graphs."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: Any, inputs: Any) -> Any:
        self.graphs += 1
        return graph.forward


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    backend = Counting()
    monkeypatch.setattr(trm.network.compilation, "BACKEND", backend)
    return backend


@pytest.fixture
def task(tiny: TinyTree, cache: Path) -> Task:
    return experiment_from(tiny()).task.build(cache)


def trainer(tiny: TinyTree, task: Task, **changes: Any) -> Trainer:
    tree = tiny({"train.compile": True, "train.ema": 0.9, **changes})
    return Trainer(experiment_from(tree), task)


def build(dtype: torch.dtype = torch.float32, **changes: Any) -> TRM:
    generator = torch.Generator().manual_seed(0)
    config = ModelConfig.model_validate(SIZES | changes)
    model = TRM(config, seq_len=SEQ_LEN, vocab_size=VOCAB, generator=generator, dtype=dtype)
    with torch.no_grad():
        model.q_head.weight.normal_(std=0.3, generator=generator)
    return model


def step(model: TRM, rows: int = 4) -> list[torch.Tensor]:
    """Everything that one supervision step computes: states, outputs and gradients."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randint(0, VOCAB, (rows, SEQ_LEN), generator=generator)
    latent, output = model(model.fresh_latent(rows), inputs, torch.zeros(rows, dtype=torch.int32))
    probe = torch.randn(output.logits.shape, generator=generator)
    model.zero_grad()
    ((output.logits.float() * probe).sum() + output.q_halt.sum()).backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return [latent.z_H, latent.z_L, output.logits.detach(), output.q_halt.detach(), *gradients]


# --- the number of graphs ----------------------------------------------------------------------


def test_a_change_of_depth_takes_no_graph_more(
    tiny: TinyTree, task: Task, counting: Counting
) -> None:
    reports = list(trainer(tiny, task).run())
    # A training batch with gradients and without, and an evaluation of all 40 examples.
    assert counting.graphs == 3
    backend = Counting()
    trm.network.compilation.BACKEND = backend
    growing = list(trainer(tiny, task, **{"curriculum": GROWING, "train.reports": 4}).run())
    assert [(r.H_cycles, r.L_cycles) for r in growing] == [(1, 1), (2, 1), (2, 2), (2, 2)]
    assert backend.graphs == 3
    assert all(torch.isfinite(torch.tensor(r.train_loss)) for r in [*reports, *growing])


def test_another_trial_and_more_evaluations_take_no_graph_more(
    tiny: TinyTree, task: Task, counting: Counting
) -> None:
    first = trainer(tiny, task)
    list(first.run())
    graphs = counting.graphs
    del first
    gc.collect()
    for changes in (
        {"train.seed": 1},
        {"model.H_cycles": 3, "model.L_cycles": 1, "optimizer.lr": 3e-3},
        {"model.H_cycles": 1, "model.L_cycles": 4, "loss.halt_weight": 0.1},
        {"model.halt_max_steps": 5, "train.ema": None, "curriculum": GROWING},
    ):
        other = trainer(tiny, task, **changes)
        list(other.run())
        other.evaluate()
        assert counting.graphs == graphs, changes


MIXED = Random(3)
"""Of twenty trials: none of what it draws is a size."""


def mixed() -> dict[str, Any]:
    """A trial's depth, hyperparameters, weights of losses, thresholds and budget."""
    draw = MIXED.uniform
    return {
        "model.H_cycles": MIXED.randint(1, 2),
        "model.L_cycles": MIXED.randint(1, 3),
        "model.halt_max_steps": MIXED.randint(2, 4),
        "model.halt_exploration_prob": draw(0.0, 0.6),
        "halting": {"name": "threshold", "threshold": draw(0.3, 0.7)},
        "loss.halt_weight": draw(0.05, 2.0),
        "loss.loss_type": MIXED.choice(["stablemax_cross_entropy", "softmax_cross_entropy"]),
        "optimizer.name": MIXED.choice(["adamw", "adam_atan2"]),
        "optimizer.lr": draw(1e-4, 1e-2),
        "optimizer.weight_decay": draw(0.01, 1.0),
        "optimizer.grad_clip": MIXED.choice([None, 1.0]),
        "train.ema": MIXED.choice([None, 0.9]),
        "train.seed": MIXED.randint(0, 999),
        "train.budget.steps": MIXED.randint(2, 4),
        "train.reports": 1,
        "curriculum": MIXED.choice(["none", GROWING]),
    }


def test_twenty_mixed_trials_of_two_shapes_take_the_graphs_of_two(
    tiny: TinyTree, task: Task, counting: Counting
) -> None:
    sizes = [{"model.hidden_size": size} for size in (16, 24)]
    for each in sizes:
        list(trainer(tiny, task, **each).run())
    graphs = counting.graphs
    assert graphs == 3 * len(sizes)
    for number in range(20):
        changes = mixed()
        list(trainer(tiny, task, **changes, **sizes[number % 2]).run())
        assert counting.graphs == graphs, changes


def test_the_last_batch_of_an_evaluation_takes_one_graph(
    tiny: TinyTree, task: Task, counting: Counting
) -> None:
    one = trainer(tiny, task, **{"train.eval_batch_size": 16})
    for _ in range(3):
        one.evaluate()
        one.evaluate(live=True)
    assert counting.graphs == 2


def test_a_state_from_a_checkpoint_finds_its_graphs(
    tiny: TinyTree, task: Task, counting: Counting, tmp_path: Path
) -> None:
    first = trainer(tiny, task)
    next(first.run())
    graphs = counting.graphs
    save_checkpoint(tmp_path / "saved", first)
    second = resume(tmp_path / "saved", task)
    assert second.resolved.compile
    list(second.run())
    list(first.run())
    assert counting.graphs == graphs
    one, other = first.state_dict(), second.state_dict()
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


@pytest.mark.parametrize("mixer", ["attention", "mlp_t"])
def test_the_tenth_size_is_compiled_too(mixer: str, counting: Counting) -> None:
    for number in range(1, 13):
        model = build(mixer=mixer, hidden_size=8 * number)
        compile_recursion(model)
        for _ in range(2):
            step(model)
            # One with gradients and one without.
            assert counting.graphs == 2 * number


@pytest.mark.parametrize(
    "change", [{"rms_norm_eps": 1e-6}, {"L_layers": 1}, {"num_heads": 4}, {"rows": 5}]
)
def test_what_a_graph_depends_on(change: dict[str, Any], counting: Counting) -> None:
    rows = change.pop("rows", 4)
    model, other = build(), build(**change)
    eager = step(other, rows)
    compile_recursion(model)
    compile_recursion(other)
    step(model)
    assert counting.graphs == 2
    for mine, true in zip(step(other, rows), eager, strict=True):
        torch.testing.assert_close(mine, true, atol=1e-6, rtol=1e-5)
    assert counting.graphs == 4
    change["rows"] = rows


def test_past_the_limit_a_run_fails_and_does_not_go_on_eagerly(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch._dynamo.reset()  # the graphs of other tests count too
    monkeypatch.setattr(trm.network.compilation, "GRAPH_LIMIT", 1)
    model = build(H_cycles=1)
    compile_recursion(model)
    step(model)
    with pytest.raises(UserError, match=r"^train.compile: True has made .* train.compile: false$"):
        step(model, rows=5)


def test_other_users_of_dynamo_keep_their_limits(counting: Counting) -> None:
    from torch._dynamo import config

    before = config.recompile_limit, config.accumulated_recompile_limit
    model = build()
    compile_recursion(model)
    step(model)
    assert (config.recompile_limit, config.accumulated_recompile_limit) == before


# --- what is left as it was ---------------------------------------------------------------------


def test_parameters_keep_their_names_and_a_checkpoint_is_evaluated_eagerly(
    tiny: TinyTree, task: Task, counting: Counting, tmp_path: Path
) -> None:
    compiled, eager = trainer(tiny, task), trainer(tiny, task, **{"train.compile": False})
    assert eager.model.compiled is None
    assert compiled.model.compiled is not None
    one, other = compiled.state_dict(), eager.state_dict()
    assert (one.weights.keys(), one.ema.keys()) == (other.weights.keys(), other.ema.keys())
    assert one.training.keys() == other.training.keys()
    save_checkpoint(tmp_path / "saved", compiled)
    assert load_model(tmp_path / "saved", task)[0].compiled is None


def test_a_checkpoint_from_before_there_was_compile_still_loads(
    tiny: TinyTree, task: Task, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "old", trainer(tiny, task, **{"train.compile": False}))

    def without_compile(head: dict[str, Any]) -> None:
        del head["resolved"]["compile"], head["config"]["train"]["compile"]

    edit_old_head(tmp_path / "old", without_compile)
    assert not read_head(tmp_path / "old").resolved.compile
    assert resume(tmp_path / "old", task).model.compiled is None


def test_without_it_dynamo_is_not_even_imported() -> None:
    modules = "trm.training.trainer, search.engine.job"
    code = f"import sys, {modules}; sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- without a compiler -------------------------------------------------------------------------


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


# --- with inductor ------------------------------------------------------------------------------


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
