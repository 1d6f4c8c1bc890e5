"""`train.compile`: how many graphs there are, what they compute, and life without a compiler.

Most tests count the graphs that Dynamo makes and run them eagerly, which needs no C++ compiler.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

import trm.network.compilation
from tests.support.compiled import GROWING, TinyTree, build, step, trainer
from tests.support.heads import edit_old_head
from trm.checkpoint.head import read_head
from trm.checkpoint.reading import load_model, resume
from trm.checkpoint.writing import save_checkpoint
from trm.config import experiment_from
from trm.errors import UserError
from trm.network.compilation import compile_recursion
from trm.tasks.base import Task


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
