"""Training on an Apple GPU: on a stand-in, which computes on the CPU and has no float64 either."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conftest import Tiny
from tests.support.apple_gpu import AppleGPU, apple_gpu, on_mps
from trm.checkpoint.head import read_head
from trm.checkpoint.reading import load_model
from trm.errors import UserError
from trm.fault import Fault
from trm.learning.losses import TOKEN_LOSSES
from trm.learning.optimizers import OPTIMIZERS, OptimizerConfig
from trm.network.mixers import MIXERS, Mixer
from trm.run.training import Stopped, Training, train
from trm.solver import load

SOFTMAX = {"loss.loss_type": "softmax_cross_entropy"}
SHORT = {
    "train.budget.steps": 6, "train.reports": 1, "train.ema": 0.9, "model.H_cycles": 1,
    "diagnostics.probe": "reports", "diagnostics.examples": 16,
}  # fmt: skip
APART = ("seconds", "train_seconds", "latency", "latency_ms", "memory")
"""Columns that differ from one run to the next."""


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[AppleGPU]:
    with apple_gpu(monkeypatch) as device:
        yield device


def weights(training: Training) -> dict[str, Tensor]:
    state = training.trainer.state_dict()
    parts = {**state.weights, **{f"ema/{name}": t for name, t in state.ema.items()}}
    return {name: tensor.detach().cpu() for name, tensor in parts.items()}


def same(one: Training, other: Training) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(
        torch.equal(tensor, second[name]) for name, tensor in first.items()
    )


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: x.double(), TypeError, "float64"),
        (lambda x: x.to(torch.float64), TypeError, "float64"),
        (lambda x: x.sum(dtype=torch.float64), TypeError, "float64"),
        (lambda _: torch.zeros(2, dtype=torch.float64, device="mps"), TypeError, "float64"),
        (lambda _: torch.zeros(2, dtype=torch.float64).to("mps"), TypeError, "float64"),
        (lambda _: torch.from_numpy(np.zeros(2)).to(torch.device("mps")), TypeError, "float64"),
        (lambda x: x + torch.ones(3), RuntimeError, "two devices"),
        (lambda x: x.numpy(), TypeError, "numpy"),
        (lambda x: torch.randn(3, device=x.device), AssertionError, "draws"),
        (lambda x: nn.functional.dropout(x), AssertionError, "draws"),
        (lambda x: Widens.apply(x.requires_grad_()).sum().backward(), TypeError, "float64"),
    ],
)  # fmt: skip
def test_the_stand_in_refuses_what_the_device_refuses(
    gpu: AppleGPU, call: Callable[[Tensor], Any], error: type[Exception], words: str
) -> None:
    x = torch.ones(3).to("mps")
    assert (x.device, x.is_mps, x.cpu().device.type) == (torch.device("mps:0"), True, "cpu")
    with pytest.raises(error, match=words):
        call(x)
    assert float((x.detach().cpu().double() + 1).sum()) == 6.0


class Widens(torch.autograd.Function):
    """float64 in the backward pass alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 1

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].double().float()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"optimizer.name": "adam_atan2", "model.mixer": "attention", "optimizer.grad_clip": 1.0},
        {"model.no_ACT_continue": False, "model.mixer": "attention", "model.pos_encodings": "rope"},
        {"train.ema": None, "model.puzzle_emb_len": 0, "model.carry_latent": False},
        {"curriculum.name": "supervision_ramp"},
        {"curriculum.name": "bandit"},
    ],
)  # fmt: skip
def test_a_training_there_is_the_one_on_the_cpu(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    changes = SHORT | SOFTMAX | given
    with apple_gpu(monkeypatch) as gpu:
        there = train(tiny(changes | {"train.device": "auto"}), tmp_path / "mps")
        assert all(map(on_mps, there.trainer.model.parameters()))
    assert there.trainer.resolved.device == "mps"
    assert gpu.calls > 1000
    # What only CPUs have rounds otherwise.
    on_cpu = {"train.device": "cpu", "train.kernel": "eager"}
    here = train(tiny(changes | on_cpu), tmp_path / "cpu")
    assert same(there, here)
    row, expected = there.last, here.last
    assert {k: v for k, v in row.items() if k not in APART} == {
        k: v for k, v in expected.items() if k not in APART
    }
    assert row["memory"] == 3 << 20


def test_the_loss_without_float64_is_that_of_the_cpu_but_for_rounding(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with apple_gpu(monkeypatch):
        there = train(tiny(SHORT), tmp_path / "mps")
    here = train(tiny(SHORT), tmp_path / "cpu")
    assert there.last["train_loss"] == pytest.approx(here.last["train_loss"], rel=1e-4)
    assert there.last["lm_loss"] == pytest.approx(here.last["lm_loss"], rel=1e-3)
    assert not there.failed


def test_a_stopped_run_goes_on_there_as_if_it_had_not_been(
    tiny: Tiny, tmp_path: Path, gpu: AppleGPU
) -> None:
    tree = tiny(SHORT | {"train.device": "mps"})
    whole = train(tree, tmp_path / "whole")
    stops = iter([False, False, True])
    stop_in = tmp_path / "stopped"

    def step(share: float) -> None:
        if next(stops, False):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Stopped):
        train(tree, stop_in, on_step=step)
    resumed = train(tree, stop_in, resume=True)
    assert resumed.trainer.counters.step == whole.trainer.counters.step
    assert same(resumed, whole)
    longer = train(tiny(SHORT | {"train.device": "mps", "train.budget.steps": 8}), stop_in,
                   resume=True)  # fmt: skip
    assert longer.last["step"] == 8


def test_its_checkpoints_are_read_everywhere_and_its_runs_go_on_there_alone(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    tree = tiny(SHORT | {"train.device": "mps"})
    with apple_gpu(monkeypatch):
        training = train(tree, out)
        solver = load(out)
        assert solver.device.type == "mps"
        there = solver.evaluate("test")
        answers = solver.solve("Rdl udl lll")
    solver = load(out)
    assert solver.device.type == "cpu"
    here = solver.evaluate("test")
    assert here.exact_accuracy == there.exact_accuracy
    assert here.lm_loss == pytest.approx(there.lm_loss, rel=1e-5)
    for one, other in zip(answers, solver.solve("Rdl udl lll"), strict=True):
        assert np.array_equal(one.tokens, other.tokens)
    checkpoint = solver.folder
    assert read_head(checkpoint).resolved.device == "mps"
    model, _ = load_model(checkpoint, training.trainer.task)
    assert model.H_init.device.type == "cpu"
    words = r"its run is on 'mps' \(Imaginary M9\), which is not here: resume it where that is"
    for more in ({}, {"train.budget.steps": 9}):
        with pytest.raises(UserError, match=words):
            train(tiny(SHORT | {"train.device": "mps"} | more), out, resume=True)


def test_a_compiled_or_bfloat16_model_is_solved_with_where_that_is_possible(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tiny(SHORT | {"train.device": "cpu", "train.precision": "bfloat16"}), tmp_path)
    with apple_gpu(monkeypatch):
        assert load(tmp_path).device.type == "cpu"
        with pytest.raises(UserError, match=r"^--device: 'mps' does not have train.precision"):
            load(tmp_path, "mps", key="--device")


def wide_loss(logits: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(
        logits.double().flatten(0, -2), labels.long().flatten(), reduction="none"
    ).view(labels.shape)


class WideSGD(OptimizerConfig):
    name: Literal["wide_sgd"] = "wide_sgd"

    def build_main(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return _WideSGD(parameters, {"lr": self.lr})


class _WideSGD(torch.optim.Optimizer):
    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for p in self.param_groups[0]["params"]:
            if p.grad is not None:
                p -= (self.param_groups[0]["lr"] * p.grad.double()).to(p.dtype)


class WideMixer(nn.Module):
    def forward(self, x: Tensor, rope: Any) -> Tensor:
        return x.double().cumsum(1).to(x.dtype)


@pytest.mark.parametrize(
    ("given", "component"),
    [
        ({"loss.loss_type": "wide"}, "loss 'wide'"),
        ({"optimizer.name": "wide_sgd"}, "optimizer 'wide_sgd'"),
        ({"model.mixer": "wide"}, "mixer 'wide'"),
    ],
)
def test_a_plug_in_that_needs_float64_is_one_line(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str],
    component: str,
) -> None:  # fmt: skip
    monkeypatch.setitem(TOKEN_LOSSES, "wide", wide_loss)
    monkeypatch.setitem(OPTIMIZERS, "wide_sgd", WideSGD)
    monkeypatch.setitem(MIXERS, "wide", Mixer(lambda *_: WideMixer(), lambda *_: 0.0))
    changes = SHORT | given
    with apple_gpu(monkeypatch), pytest.raises(Fault, match=f"^{component}: fails .*float64") as e:
        train(tiny(changes), tmp_path / "mps")
    assert "\n" not in str(e.value)
    assert train(tiny(changes | {"train.device": "cpu"}), tmp_path / "cpu").rows
