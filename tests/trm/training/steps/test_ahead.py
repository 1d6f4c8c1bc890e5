"""Steps that the host does not wait for: without numbers, and beside those that it waits for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import Tiny
from trm.config import experiment_from
from trm.device import Resolved
from trm.report import MACHINE_COLUMNS, Report
from trm.tasks.base import Task
from trm.training import trainer as trainer_module
from trm.training.steps import ahead
from trm.training.trainer import Trainer

MIXED = {"task.augment": True, "train.ema": 0.9, "model.halt_exploration_prob": 0.5}
KINDS: dict[str, dict[str, Any]] = {
    "adamw, mlp_t": MIXED,
    "adam_atan2, attention, continue head, clipped, softmax": {
        **MIXED,
        "optimizer.name": "adam_atan2",
        "optimizer.grad_clip": 0.5,
        "model.mixer": "attention",
        "model.no_ACT_continue": False,
        "loss.loss_type": "softmax_cross_entropy",
    },
    "adaptive": {
        "train.ema": 0.9,
        "curriculum": {
            "depth": {"name": "competence", "levels": 2, "threshold": 0.0, "patience": 4},
            "supervision_weights": {"name": "decay", "rate": 0.7},
            "latent_noise": 0.1,
            "halt_weight": {"name": "linear", "start": 1.0, "end": 0.25},
            "feedback_every": 0.1,
        },
    },
    "last step, frozen at first": {
        "curriculum.supervision_weights": "last_step",
        "train.freeze": {"parts": ["body"], "share": 0.3},
    },
    "one supervision step": {"model.halt_max_steps": 1},
    "halting where the answer comes again": {**MIXED, "halting": "cycle"},
    "halting where the state rests": {**MIXED, "halting": {"name": "residual", "threshold": 0.5}},
    "a loss that compares with the step before": {
        **MIXED,
        "loss.halt_loss": "brier",
        "loss.monotonic_weight": 0.1,
        "loss.consistency_weight": 0.3,
        "loss.residual_weight": 0.1,
    },
    "wrong targets at first, smoothed": {
        **MIXED,
        "loss.target_corruption": 0.4,
        "loss.corrupt_with": "random",
        "loss.label_smoothing": 0.1,
        "loss.z_loss": 1e-3,
    },
    "linear attention, a convolution, a mixture": {
        **MIXED,
        "model.mixer": ["linear_attention", "mlp_t"],
        "model.L_layers": 2,
        "model.mlp": "conv_swiglu",
    },
    "muon, clipped": {**MIXED, "optimizer.name": "muon", "optimizer.grad_clip": 0.5},
    "schedule-free": {"optimizer.name": "schedule_free", "task.augment": True},
    "an average with a half-life": {"train.ema_half_life": 0.2, "optimizer.name": "adam_atan2"},
    "three steps to an update, cycles left out": {
        "curriculum.stochastic_depth": 0.5,
        "train.supervision_per_update": 3,
        "train.ema": 0.9,
        "optimizer.grad_clip": 0.5,
    },
    "normed before, two networks, gated, random start": {
        **MIXED,
        "model.norm": "pre",
        "model.separate_networks": True,
        "model.state_transfer": "gated",
        "model.initial_state": "random",
    },
    "damped, learned start, the whole gradient": {
        "model.state_transfer": {"name": "damped", "noise": 0.05},
        "model.initial_state": "learned",
        "model.gradient_cycles": None,
    },
}


@pytest.fixture
def task(tiny: Tiny, cache: Path) -> Task:
    return experiment_from(tiny()).task.build(cache)


@pytest.fixture(scope="module", autouse=True)
def _adamw_without_numbers() -> Iterator[None]:
    """Torch has its fused AdamW there with a number as learning rate alone."""

    def fused(*args: Any, lr: Tensor, found_inf: Tensor, **_: Any) -> None:
        assert lr.is_meta
        assert found_inf.is_meta
        assert all(tensor.is_meta for tensors in args for tensor in tensors)

    library = torch.library.Library("aten", "IMPL")
    library.impl("_fused_adamw_.tensor_lr", fused, "Meta")
    yield
    library._destroy()


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, trainers on the CPU go ahead too."""
    return lambda: monkeypatch.setattr(trainer_module, "AHEAD", {"cpu", "meta"})


def trainer(tiny: Tiny, task: Task, changes: dict[str, Any], **options: Any) -> Trainer:
    config = experiment_from(tiny({"train.kernel": "eager", **changes}))
    if "task.augment" in changes:
        task = config.task.build()
    return Trainer(config, task, **options)


def tensors(one: Trainer) -> dict[str, Tensor]:
    state = one.state_dict()
    parts = {"weights": state.weights, "ema": state.ema, "training": state.training}
    return {f"{p}/{k}": t.detach().clone() for p, part in parts.items() for k, t in part.items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def rows(reports: list[Report]) -> list[dict[str, Any]]:
    return [{k: v for k, v in r.row().items() if k not in MACHINE_COLUMNS} for r in reports]


@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_step_runs_where_no_number_can_be_read(
    tiny: Tiny, task: Task, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    # The host reads one row a step, late. There it reads of steps after which every row halts.
    def arrived(row: Tensor) -> tuple[Tensor, None]:
        assert row.is_meta
        numbers = torch.zeros(row.shape, dtype=row.dtype)
        numbers[2], numbers[3] = 1.0, 16.0
        return numbers, None

    monkeypatch.setattr(ahead, "begin_copy", arrived)
    one = trainer(tiny, task, KINDS[kind], resolved=Resolved("meta", "nowhere", "float32", 1))
    assert all(p.is_meta for p in one.model.parameters())
    monkeypatch.setattr(one, "_meets_mark", lambda _: False)  # a report reads weights
    for step in range(1, 9):
        one.train_step()
        assert one.counters.step == step * one.config.train.supervision_per_update
    assert one.counters.examples >= 16 * (8 - ahead.LAG)
    assert all(p.grad is not None and p.grad.is_meta for p in list(one.model.parameters())[1:])
    with pytest.raises(RuntimeError, match="meta"):
        float(one.carry.halted.sum())


@pytest.mark.parametrize("kind", KINDS)
def test_going_ahead_trains_as_waiting_does(
    tiny: Tiny, task: Task, on_cpu: Callable[[], None], kind: str
) -> None:
    changes = {k: v for k, v in KINDS[kind].items() if k != "task.augment"}
    waiting = trainer(tiny, task, changes, marks=(0.3, 0.55, 1.0))
    on_cpu()
    going = trainer(tiny, task, changes, marks=(0.3, 0.55, 1.0))
    assert waiting.ahead is None
    assert going.ahead is not None
    expected, found = rows(list(waiting.run())), rows(list(going.run()))
    for row, other in zip(expected, found, strict=True):
        for column, value in row.items():
            close = value is None or value == pytest.approx(other[column], rel=5e-3, abs=2e-4)
            assert close, (column, value, other[column])
        for exact in ("step", "compute", "examples", "train_steps", "train_exact_accuracy"):
            assert row[exact] == other[exact]
    one, other = tensors(waiting), tensors(going)
    for name in one:
        torch.testing.assert_close(one[name], other[name].to(one[name].dtype), rtol=1e-3, atol=1e-4)
    assert waiting.stage == going.stage
    assert waiting.stream.drawn <= going.stream.drawn


@pytest.mark.parametrize("kind", ["adamw, mlp_t", "adaptive"])
@pytest.mark.parametrize("cut", [1, 2, 7])
def test_a_stopped_run_that_goes_ahead_goes_on_bit_for_bit(
    tiny: Tiny, task: Task, on_cpu: Callable[[], None], kind: str, cut: int
) -> None:
    on_cpu()
    whole, first, again = (trainer(tiny, task, KINDS[kind]) for _ in range(3))
    reports = rows(list(whole.run()))
    before = list(first.run(lambda: first.counters.step == cut))
    state = first.state_dict()
    again.load_state_dict(state)
    assert rows(before + list(again.run())) == reports
    assert same(tensors(again), tensors(whole))
    assert again.stream.state_dict() == whole.stream.state_dict()


@pytest.mark.parametrize("optimizer", ["adamw", "adam_atan2", "muon", "schedule_free"])
@pytest.mark.parametrize("at", [0, 3])
def test_a_run_that_diverges_ends_as_if_the_host_had_waited(
    tiny: Tiny, task: Task, on_cpu: Callable[[], None], optimizer: str, at: int
) -> None:
    changes = {"optimizer.name": optimizer, "train.ema": 0.9, "train.budget.steps": 40}
    ends = []
    for goes_ahead in (False, True):
        if goes_ahead:
            on_cpu()
        one = trainer(tiny, task, changes)
        for _ in range(at):
            one.train_step()
        kept = one.model.q_head.weight.detach().clone()
        with torch.no_grad():
            one.model.L_init[0] = math.nan
            one.carry.halted[3] = True
        reports = list(one.run())
        assert len(reports) == 1
        assert reports[0].diverged
        assert one.finished
        assert torch.equal(one.model.q_head.weight, kept)
        ends.append((rows(reports)[0], one))
    (row, waited), (other, went) = ends
    # A model with nan in it has no other figures to compare.
    for column in ("step", "compute", "examples", "learning_rate", "train_loss", "H_cycles"):
        assert row[column] == pytest.approx(other[column], rel=1e-4)
    assert went.counters.step == waited.counters.step == at
    mine, theirs = tensors(went), tensors(waited)
    for name in theirs:
        if name.startswith(("weights", "ema", "training/optimizer")):
            a, b = mine[name].float(), theirs[name].float()
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4, equal_nan=True)


def test_rows_are_refilled_in_the_order_of_the_stream(
    tiny: Tiny, task: Task, on_cpu: Callable[[], None]
) -> None:
    on_cpu()
    one = trainer(tiny, task, MIXED | {"task.augment": False})
    stream = trainer(tiny, task, {}).stream
    batch: np.ndarray = np.zeros((16, 9), dtype=np.int32)
    for _ in range(15):
        halted = one.carry.halted.numpy().copy()
        batch[halted] = stream.take(int(halted.sum())).inputs
        one.train_step()
        assert np.array_equal(one.carry.inputs.numpy(), batch)


def test_a_sparse_puzzle_embedding_is_stepped_alike(
    tiny: Tiny, task: Task, on_cpu: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trm.network.model.SPARSE_FROM", 0)
    changes = {"optimizer.puzzle_emb_lr": 0.01, "optimizer.grad_clip": 0.1}
    waiting = trainer(tiny, task, changes)
    on_cpu()
    going = trainer(tiny, task, changes)
    for _ in range(6):
        waiting.train_step(), going.train_step()
    assert going.model.puzzle_emb is not None
    assert going.model.puzzle_emb.grad.is_sparse
    assert waiting.model.puzzle_emb.abs().sum() > 0
    torch.testing.assert_close(going.model.puzzle_emb, waiting.model.puzzle_emb)
    going.ahead.settle()
    assert going.counters.grad_norm == pytest.approx(waiting.counters.grad_norm, rel=1e-3)
