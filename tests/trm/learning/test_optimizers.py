"""Optimisers against their formulas in float64, and the learning rate against hand values."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from curricula.component import by_name
from trm.errors import UserError
from trm.learning.optimizers import (
    OPTIMIZERS,
    AdamAtan2,
    AdamAtan2Config,
    AdamWConfig,
    OptimizerConfig,
    SignSGD,
    clip_gradients,
    learning_rate_factor,
)
from trm.learning.uncompiled import AdamW
from trm.network.model import TRM, ModelConfig
from trm.training.state import flatten
from trm.validation import validate

STEPS = 7


def gradients(shape: tuple[int, ...], seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) * 10.0 ** (-i) for i in range(STEPS)]


def adam_by_hand(
    name: str, start: Tensor, grads: list[Tensor], lr: float, betas: tuple[float, float], wd: float
) -> Tensor:
    """Either optimiser in plain Python floats, element by element."""
    beta1, beta2 = betas
    result = []
    for index, p in enumerate(start.double().flatten().tolist()):
        m = v = 0.0
        for t, grad in enumerate(grads, start=1):
            g = float(grad.flatten()[index])
            m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
            mean, root = m / (1 - beta1**t), math.sqrt(v / (1 - beta2**t))
            step = math.atan2(mean, root) if name == "adam_atan2" else mean / (root + 1e-8)
            p = p * (1 - lr * wd) - lr * step
        result.append(p)
    return torch.tensor(result, dtype=torch.float64).view(start.shape)


@pytest.mark.parametrize("name", ["adamw", "adam_atan2"])
@pytest.mark.parametrize("wd", [0.0, 0.5])
@pytest.mark.parametrize("betas", [(0.9, 0.95), (0.0, 0.999), (0.8, 0.0)])
def test_formula(name: str, wd: float, betas: tuple[float, float]) -> None:
    start = torch.randn(3, 4, generator=torch.Generator().manual_seed(9))
    config = OPTIMIZERS[name](
        name=name, lr=0.02, beta1=betas[0], beta2=betas[1], weight_decay=wd, lr_warmup_steps=0
    )
    p, grads = nn.Parameter(start.clone()), gradients((3, 4))
    optimizer = config.build_main([p])
    for grad in grads:
        p.grad = grad.clone()
        optimizer.step()
        assert torch.equal(p.grad, grad)
    true = adam_by_hand(name, start, grads, 0.02, betas, wd)
    torch.testing.assert_close(p.detach().double(), true, atol=1e-6, rtol=1e-6)


def test_adam_atan2_in_float64_to_the_last_digits() -> None:
    start = torch.randn(5, 2, generator=torch.Generator().manual_seed(9)).double()
    p, grads = nn.Parameter(start.clone()), [g.double() for g in gradients((5, 2))]
    optimizer = AdamAtan2([p], 0.1, (0.9, 0.95), 0.3)
    for grad in grads:
        p.grad = grad
        optimizer.step()
    true = adam_by_hand("adam_atan2", start, grads, 0.1, (0.9, 0.95), 0.3)
    torch.testing.assert_close(p.detach(), true, atol=1e-14, rtol=1e-13)


@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e15])
def test_adam_atan2_does_not_see_the_scale_of_gradients(scale: float) -> None:
    start = torch.randn(4, generator=torch.Generator().manual_seed(9)).double()
    ends = []
    for factor in (1.0, scale):
        p = nn.Parameter(start.clone())
        optimizer = AdamAtan2([p], 0.1)
        for grad in gradients((4,)):
            p.grad = grad.double() * factor
            optimizer.step()
        ends.append(p.detach())
    torch.testing.assert_close(ends[0], ends[1], atol=1e-12, rtol=0)


def test_adam_atan2_takes_a_zero_gradient() -> None:
    p = nn.Parameter(torch.ones(3))
    p.grad = torch.zeros(3)
    AdamAtan2([p], 0.1).step()
    assert torch.equal(p.detach(), torch.ones(3))


def test_adam_atan2_counts_steps_of_each_parameter() -> None:
    a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    optimizer, grads = AdamAtan2([a, b], 0.1), gradients((2,))
    for t, grad in enumerate(grads):
        a.grad, b.grad = grad, grad if t >= 3 else None
        optimizer.step()
    true = adam_by_hand("adam_atan2", torch.zeros(2), grads[3:], 0.1, (0.9, 0.95), 0.0)
    torch.testing.assert_close(b.detach().double(), true, atol=1e-6, rtol=1e-5)


def test_sign_sgd_changes_the_rows_of_the_batch_only() -> None:
    start = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    table = nn.Parameter(start.clone())
    rows = torch.tensor([1, 3, 1])
    weight = torch.tensor([[1.0, -2.0, 0.5], [3.0, 1.0, -1.0], [-4.0, 1.0, 0.25]])
    (nn.functional.embedding(rows, table) * weight).sum().backward()
    SignSGD([table], 0.1, 0.2).step()
    true = start.clone()
    # Row 1 occurs twice: its gradients add up before the sign is taken.
    true[1] = start[1] * (1 - 0.1 * 0.2) - 0.1 * torch.tensor([-1.0, -1.0, 1.0])
    true[3] = start[3] * (1 - 0.1 * 0.2) - 0.1 * torch.tensor([1.0, 1.0, -1.0])
    torch.testing.assert_close(table.detach(), true)
    assert torch.equal(table.detach()[[0, 2, 4]], start[[0, 2, 4]])


def model(**changes: Any) -> TRM:
    small = {
        "hidden_size": 8,
        "num_heads": 2,
        "expansion": 1.0,
        "swiglu_multiple": 4,
        "puzzle_emb_len": 1,
        "H_cycles": 1,
        "L_cycles": 1,
    }
    return TRM(
        ModelConfig.model_validate(small | changes),
        seq_len=3,
        vocab_size=5,
        num_puzzle_identifiers=6,
        generator=torch.Generator().manual_seed(0),
    )


def backward(net: TRM, seed: int, identifiers: Tensor | None = None) -> None:
    inputs = torch.randint(0, 5, (4, 3), generator=torch.Generator().manual_seed(seed))
    rows = torch.tensor([0, 2, 2, 5]) if identifiers is None else identifiers
    _, output = net(net.fresh_latent(4), inputs, rows)
    (output.logits.square().sum() + output.q_halt.sum() + output.q_continue.sum()).backward()


@pytest.mark.parametrize("clip", [None, 0.05])
def test_a_sparse_gradient_trains_the_rows_of_the_batch_as_a_dense_one(
    clip: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []
    for least in (10**9, 1):
        monkeypatch.setattr("trm.network.model.SPARSE_FROM", least)
        one = model()
        assert one.puzzle_emb is not None
        assert one.sparse_rows == (least == 1)
        config = AdamWConfig(lr=1e-2, grad_clip=clip, puzzle_emb_lr=0.1, lr_warmup_steps=0)
        optimizers, norms = config.build(one), []
        for step in range(4):
            optimizers.zero_grad()
            backward(one, step)
            assert one.puzzle_emb.grad is not None
            assert one.puzzle_emb.grad.is_sparse == one.sparse_rows
            norms.append(float(clip_gradients(one.parameters(), clip)))
            optimizers.step()
        trained.append((norms, {name: p.detach().clone() for name, p in one.named_parameters()}))
    (dense_norms, dense), (sparse_norms, sparse) = trained
    assert dense_norms == pytest.approx(sparse_norms, rel=1e-5)
    for name, weight in dense.items():
        torch.testing.assert_close(sparse[name], weight, atol=1e-6, rtol=1e-5)
    assert dense["puzzle_emb"][[0, 2, 5]].any(dim=1).all()
    assert not dense["puzzle_emb"][[1, 3, 4]].any()


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_parameter_moves_once_and_puzzle_embeddings_by_their_own_rate(name: str) -> None:
    net = model()
    config = OPTIMIZERS[name](name=name, lr=0.01, weight_decay=0.0, puzzle_emb_lr=0.5)
    optimizer = config.build(net)
    before = {key: p.detach().clone() for key, p in net.named_parameters()}
    backward(net, 0)
    optimizer.step()
    for key, p in net.named_parameters():
        moved = (p.detach() - before[key]).abs().max()
        if name == "muon" and p.ndim == 2 and key.startswith("layers"):
            assert 0.0 < float(moved) < 0.02, key  # all of a matrix moves as one
            continue
        assert float(moved) == pytest.approx(0.5 if key == "puzzle_emb" else 0.01, rel=0.25), key
    assert net.puzzle_emb is not None
    assert net.puzzle_emb.detach().any(dim=1).tolist() == [True, False, True, False, False, True]


def test_the_factor_scales_every_rate_and_does_not_compound() -> None:
    net = model()
    optimizer = AdamWConfig(lr=0.01, puzzle_emb_lr=0.5).build(net)
    for factor in (0.5, 0.5, 0.0, 1.0):
        optimizer.set_factor(factor)
        rates = [group["lr"] for part in optimizer.parts for group in part.param_groups]
        assert sorted(rates) == pytest.approx([0.01 * factor, 0.5 * factor])


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_saved_optimiser_goes_on_bit_for_bit(name: str) -> None:
    def run(split: bool) -> dict[str, Tensor]:
        net = model()
        config = OPTIMIZERS[name](name=name, lr=0.01)
        optimizer = config.build(net)
        for step in range(4):
            if split and step == 2:
                state, weights = optimizer.state_dict(), net.state_dict()
                net = model()
                net.load_state_dict(weights)
                optimizer = config.build(net)
                optimizer.load_state_dict(state)
            optimizer.set_factor(1.0 / (step + 1))
            optimizer.zero_grad()
            backward(net, step)
            optimizer.step()
        return {key: p.detach() for key, p in net.named_parameters()}

    straight, resumed = run(False), run(True)
    for key, tensor in straight.items():
        assert torch.equal(tensor, resumed[key]), key


def test_a_model_without_puzzle_embedding() -> None:
    net = model(puzzle_emb_ndim=0, puzzle_emb_len=0)
    optimizer = AdamAtan2Config(lr=0.01).build(net)
    backward(net, 0)
    optimizer.step()
    assert len(optimizer.parts) == 1


def factor(step: int, progress: float, warmup_progress: float = 0.0, **changes: Any) -> float:
    config = AdamWConfig.model_validate({"name": "adamw", "lr_warmup_steps": 10} | changes)
    return learning_rate_factor(config, step, progress, warmup_progress)


def test_warm_up_then_constant() -> None:
    assert [factor(step, 0.5) for step in (1, 5, 9)] == pytest.approx([0.1, 0.5, 0.9])
    assert [factor(step, 0.5) for step in (10, 11, 10_000)] == [1.0, 1.0, 1.0]
    assert factor(1, 0.0, lr_warmup_steps=0) == 1.0


def test_cosine_to_the_floor_by_hand() -> None:
    floor = {"lr_min_ratio": 0.1, "lr_warmup_steps": 0}
    expected = {0.0: 1.0, 0.25: 0.1 + 0.9 * (2 + math.sqrt(2)) / 4, 0.5: 0.55, 1.0: 0.1}
    for progress, value in expected.items():
        assert factor(50, progress, **floor) == pytest.approx(value, rel=1e-12)
    assert factor(50, 1.7, **floor) == pytest.approx(0.1)
    assert factor(50, 0.5, lr_min_ratio=0.0, lr_warmup_steps=0) == pytest.approx(0.5)


def test_the_cosine_begins_where_the_warm_up_ends() -> None:
    assert factor(10, 0.2, 0.2, lr_min_ratio=0.0) == pytest.approx(1.0)
    assert factor(30, 0.6, 0.2, lr_min_ratio=0.0) == pytest.approx(0.5)
    assert factor(50, 1.0, 0.2, lr_min_ratio=0.0) == pytest.approx(0.0, abs=1e-12)
    assert math.isfinite(factor(50, 1.0, 1.0, lr_min_ratio=0.0))


def test_equal_to_the_reference_where_steps_cost_the_same() -> None:
    warmup, total, floor = 10, 60, 0.1
    for step in range(1, total + 1):
        if step < warmup:
            true = step / warmup
        else:
            share = (step - warmup) / (total - warmup)
            true = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share))
        assert factor(step, step / total, warmup / total, lr_min_ratio=floor) == pytest.approx(true)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr": 0.0}, ["lr", "0.0"]),
        ({"lr": float("inf")}, ["lr"]),
        ({"beta1": 1.0}, ["beta1", "1.0"]),
        ({"beta2": -0.1}, ["beta2", "-0.1"]),
        ({"lr_min_ratio": 1.1}, ["lr_min_ratio", "1.1"]),
        ({"lr_warmup_steps": -1}, ["lr_warmup_steps", "-1"]),
        ({"weight_decay": -1.0}, ["weight_decay", "-1.0"]),
        ({"grad_clip": 0.0}, ["grad_clip", "0.0"]),
        ({"learning_rate": 1e-3}, ["learning_rate"]),
    ],
)
@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_bad_settings_name_key_and_value(
    name: str, changes: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(UserError) as error:
        validate(OPTIMIZERS[name], {"name": name} | changes, "optimizer")
    for word in words:
        assert word in str(error.value)


def test_an_unknown_optimiser_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"adam_atan.*did you mean"):
        by_name(OPTIMIZERS, {"name": "adam_atan"})


def test_defaults_are_the_references() -> None:
    config: OptimizerConfig = AdamAtan2Config()
    assert (config.lr, config.beta1, config.beta2) == (1e-4, 0.9, 0.95)
    assert (config.lr_warmup_steps, config.lr_min_ratio, config.grad_clip) == (2000, 1.0, None)


@pytest.mark.parametrize("lean", [True, False])
def test_a_step_of_adamw_is_torch_s_own_bit_for_bit(lean: bool) -> None:
    mine, other = model(), model()
    ours = AdamWConfig(lr=0.01, weight_decay=0.3, lr_warmup_steps=0).build(mine)
    plain = torch.optim.AdamW(
        [p for p in other.parameters() if p is not other.puzzle_emb],
        lr=0.01, betas=(0.9, 0.95), weight_decay=0.3, fused=True,
    )  # fmt: skip
    assert ours.parts[0].state_dict() == plain.state_dict()
    for count in range(4):
        for each in (mine, other):
            generator = torch.Generator().manual_seed(count)
            for index, p in enumerate(each.parameters()):
                p.grad = None if index == count else torch.randn(p.shape, generator=generator)
        ours.set_factor(1.0 / (count + 1))
        plain.param_groups[0]["lr"] = 0.01 / (count + 1)
        (ours if lean else ours.parts[0]).step()
        plain.step()
    assert mine.puzzle_emb is not None
    pairs = zip(mine.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs if a is not mine.puzzle_emb)
    one, two = flatten(ours.parts[0].state_dict()), flatten(plain.state_dict())
    assert one[1] == two[1]
    assert one[0].keys() == two[0].keys()
    assert all(torch.equal(one[0][name], two[0][name]) for name in two[0])


def test_what_torch_wraps_for_its_compiler_is_what_torch_does() -> None:
    ours = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(3))]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    one = AdamW([{"params": ours[:1], "lr": 0.5}], lr=0.1)
    two = torch.optim.AdamW([{"params": theirs[:1], "lr": 0.5}], lr=0.1)
    for optimizer, weights in ((one, ours), (two, theirs)):
        optimizer.add_param_group({"params": weights[1:]})
        for p in weights:
            p.grad = torch.ones_like(p)
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
        optimizer.step()
        optimizer.zero_grad()
        assert all(p.grad is None for p in weights)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert str(one.state_dict()) == str(two.state_dict())
