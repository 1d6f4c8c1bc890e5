"""What must hold on a GPU, each a function of the device that says what it saw."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.gpu.trainings import TREE, going_ahead, no_waits, training
from trm.checkpoint.reading import load_model, resume
from trm.checkpoint.writing import save_checkpoint
from trm.network import model as model_module
from trm.training.data import ExampleStream
from trm.training.steps.graphs import WARM
from trm.training.trainer import Trainer

KINDS: dict[str, dict[str, Any]] = {
    "adamw, mlp_t": {},
    "adam_atan2, attention, continue head, clipped": {
        "optimizer.name": "adam_atan2", "optimizer.grad_clip": 0.5, "model.mixer": "attention",
        "model.no_ACT_continue": False, "loss.loss_type": "softmax_cross_entropy",
    },
    "curriculum": {
        "curriculum.latent_noise": 0.1,
        "curriculum.supervision_weights": {"name": "decay", "rate": 0.7},
        "curriculum.halt_weight": {"name": "linear", "start": 1.0, "end": 0.25},
    },
    "bfloat16": {"train.precision": "bfloat16"},
}  # fmt: skip


class NotHereError(Exception):
    """A check that this device cannot have."""


def steps(one: Trainer, count: int) -> Trainer:
    for _ in range(count):
        one.train_step()
    return one


def tensors(one: Trainer) -> dict[str, Tensor]:
    state = one.state_dict()
    found = {**state.weights, **{f"ema/{k}": v for k, v in state.ema.items()}, **state.training}
    return {name: t.detach().to("cpu", copy=True) for name, t in found.items()}


def apart(one: Trainer, other: Trainer) -> float:
    """The largest difference of any two weights."""
    mine, theirs = one.state_dict().weights, other.state_dict().weights
    return max(float((mine[k].cpu() - theirs[k].cpu()).abs().max()) for k in mine)


def no_step_waits(device: str) -> str:
    with going_ahead(device):
        for changes in KINDS.values():
            one = steps(training(TREE, device, changes), 4)
            with no_waits(device):
                steps(one, 6)
            assert one.counters.step == 10
    if torch.device(device).type != "cuda":
        return f"{len(KINDS)} kinds ran; only a CUDA device says who waits"
    return f"{len(KINDS)} kinds, 6 steps each under set_sync_debug_mode('error')"


def a_sparse_puzzle_embedding_does_not_wait(device: str) -> str:
    before, model_module.SPARSE_FROM = model_module.SPARSE_FROM, 0
    try:
        with going_ahead(device):
            one = steps(training(TREE, device), 4)
            with no_waits(device):
                steps(one, 6)
    finally:
        model_module.SPARSE_FROM = before
    assert one.model.puzzle_emb is not None
    return f"its rows add up to {float(one.model.puzzle_emb.detach().abs().sum()):.3g}"


def graphs_are_the_eager_steps(device: str) -> str:
    if torch.device(device).type != "cuda":
        raise NotHereError("CUDA graphs need a CUDA device")
    worst = 0.0
    for changes in KINDS.values():
        eager = training(TREE, device, changes)
        graphs = training(TREE, device, {**changes, "train.cuda_graphs": "on"})
        steps(eager, WARM + 8), steps(graphs, WARM + 3)
        with no_waits(device):
            steps(graphs, 5)
        assert graphs.resolved.cuda_graphs == "on"
        worst = max(worst, apart(eager, graphs))
    assert worst < 2e-2, worst
    return f"weights at most {worst:.1e} apart after 8 replayed steps, {len(KINDS)} kinds"


def auto_decides(device: str) -> str:
    with going_ahead(device):
        one = steps(training(TREE, device, {"train.cuda_graphs": "auto"}), WARM + 3)
    assert one.resolved.cuda_graphs in ("on", "off")
    return f"{one.resolved.cuda_graphs} {one.resolved.cuda_graphs_reason}".strip()


def going_ahead_trains_as_waiting_does(device: str) -> str:
    worst = 0.0
    for changes in KINDS.values():
        with going_ahead(device):
            ahead = steps(training(TREE, device, changes), 10)
        with going_ahead(device, ahead=False):
            waits = steps(training(TREE, device, changes), 10)
        assert ahead.ahead is not None
        ahead.ahead.settle()
        assert ahead.counters.examples == waits.counters.examples
        off = abs(ahead.counters.sums["loss"] / waits.counters.sums["loss"] - 1)
        worst = max(worst, off)
    assert worst < 2e-2, worst
    return f"losses of 10 steps at most {worst:.1e} apart"


def rows_are_refilled_in_the_streams_order(device: str) -> str:
    with going_ahead(device):
        one = training(TREE, device)
    stream = ExampleStream(one.task, one.config.train.seed)
    batch = torch.zeros(16, 9, dtype=torch.int32)
    for _ in range(12):
        halted = one.carry.halted.cpu()
        batch[halted] = torch.from_numpy(stream.take(int(halted.sum())).inputs)
        one.train_step()
        assert torch.equal(one.carry.inputs.cpu(), batch)
    return f"{stream.drawn} examples in 12 steps"


def a_stopped_run_goes_on(device: str) -> str:
    worst, same = 0.0, True
    with going_ahead(device), tempfile.TemporaryDirectory() as folder:
        for index, changes in enumerate(KINDS.values()):
            whole, first = (training(TREE, device, changes) for _ in range(2))
            steps(whole, 14), steps(first, 7)
            save_checkpoint(Path(folder) / str(index), first)
            again = steps(resume(Path(folder) / str(index), first.task), 7)
            one, other = tensors(whole), tensors(again)
            same = same and all(torch.equal(one[k], other[k]) for k in one)
            worst = max(worst, apart(whole, again))
            assert whole.counters.examples == again.counters.examples
    assert worst < 1e-2, worst
    return "bit for bit" if same else f"weights at most {worst:.1e} apart"


def a_checkpoint_is_read_elsewhere(device: str) -> str:
    with going_ahead(device), tempfile.TemporaryDirectory() as folder:
        there = steps(training(TREE, device), 6)
        save_checkpoint(Path(folder) / "there", there)
        here = training(TREE, "cpu")
        save_checkpoint(Path(folder) / "here", here)
        read, _ = load_model(Path(folder) / "there", there.task)
        back, _ = load_model(Path(folder) / "here", here.task)
    assert there.ema is not None
    expected = there.ema.state_dict()
    found = {k: v.cpu() for k, v in read.state_dict().items()}
    assert all(torch.equal(found[k], t.detach().cpu()) for k, t in expected.items())
    moved = back.to(device)
    latent = moved.fresh_latent(2)
    inputs = torch.ones(2, 9, dtype=torch.int32, device=device)
    moved(latent, inputs, inputs[:, 0] * 0)
    return "the same weights; one from the CPU computes here"


def evaluation_is_that_of_the_cpu(device: str) -> str:
    with going_ahead(device):
        one = steps(training(TREE, device), 20)
        other = training(TREE, "cpu")
    there = one.evaluate(live=True)
    other.model.load_state_dict(one.model.state_dict())
    here = other.evaluate(live=True)
    off = abs(there.lm_loss / here.lm_loss - 1)
    assert off < 1e-3, off
    assert abs(there.exact_accuracy - here.exact_accuracy) <= 1 / 40
    return f"lm_loss {off:.1e} apart, exact accuracy {there.exact_accuracy:.3f}"


def a_run_that_diverges_keeps_its_weights(device: str) -> str:
    with going_ahead(device):
        one = steps(training(TREE, device), 5)
    before = copy.deepcopy(dict(one.model.named_parameters()))
    with torch.no_grad():
        one.model.L_init.fill_(math.nan)
        one.carry.halted[0] = True
    reports = list(one.run())
    assert [r.diverged for r in reports] == [True]
    assert one.counters.step == reports[0].step == 5
    assert all(torch.equal(before[k], p) for k, p in one.model.named_parameters())
    return "reported at the step before, no weight changed"


CHECKS: tuple[Callable[[str], str], ...] = (
    no_step_waits,
    a_sparse_puzzle_embedding_does_not_wait,
    graphs_are_the_eager_steps,
    auto_decides,
    going_ahead_trains_as_waiting_does,
    rows_are_refilled_in_the_streams_order,
    a_stopped_run_goes_on,
    a_checkpoint_is_read_elsewhere,
    evaluation_is_that_of_the_cpu,
    a_run_that_diverges_keeps_its_weights,
)
