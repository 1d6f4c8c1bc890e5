"""Losses against float64 formulas by hand, with gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from trm.errors import UserError
from trm.learning.losses import TOKEN_LOSSES, LossConfig, act_loss, stablemax_cross_entropy
from trm.network.model import Output
from trm.tasks.base import IGNORE
from trm.validation import validate

DTYPES = [torch.float32, torch.bfloat16, torch.float64]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def example(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    logits = (3 * torch.randn(4, 6, 5, generator=seeded())).to(dtype)
    labels = torch.randint(0, 5, (4, 6), generator=seeded(1))
    labels[0, :3] = IGNORE
    return logits, labels


def by_hand(name: str, row: list[float], label: int) -> tuple[float, list[float]]:
    """The loss of one cell and its gradient, in plain Python floats."""
    if name == "softmax_cross_entropy":
        top = max(row)
        s = [math.exp(x - top) for x in row]
        slope = s
    else:
        s = [x + 1 if x >= 0 else 1 / (1 - x) for x in row]
        slope = [1.0 if x >= 0 else 1 / (1 - x) ** 2 for x in row]
    total = sum(s)
    gradient = [ds / total for ds in slope]
    gradient[label] -= slope[label] / s[label]
    return math.log(total) - math.log(s[label]), gradient


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(TOKEN_LOSSES))
def test_token_losses_and_gradients_by_hand(name: str, dtype: torch.dtype) -> None:
    logits, labels = example(dtype)
    logits.requires_grad_()
    losses = TOKEN_LOSSES[name](logits, labels)
    assert losses.shape == labels.shape
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    # bfloat16 rounds the returned gradient once; nothing before it.
    tolerance = 2**-8 if dtype == torch.bfloat16 else 2e-6
    for place in torch.cartesian_prod(torch.arange(4), torch.arange(6)).tolist():
        i, j = place
        label = int(labels[i, j])
        if label == IGNORE:
            assert float(losses[i, j].detach()) == 0.0
            assert not gradient[i, j].any()
            continue
        value, slope = by_hand(name, logits[i, j].double().tolist(), label)
        assert float(losses[i, j].detach()) == pytest.approx(value, rel=1e-5, abs=1e-6)
        assert gradient[i, j].double().tolist() == pytest.approx(slope, rel=tolerance, abs=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(TOKEN_LOSSES))
def test_gradients_are_finite_where_a_branch_has_a_pole(name: str, dtype: torch.dtype) -> None:
    # 1 / (1 - x) of the branch that is not taken is infinite at exactly 1.
    logits = torch.tensor([[[1.0, 0.0, -1.0], [1.0, 1.0, 1.0], [1e4, -1e4, 0.0]]], dtype=dtype)
    logits.requires_grad_()
    labels = torch.tensor([[0, 1, 0]])
    (gradient,) = torch.autograd.grad(TOKEN_LOSSES[name](logits, labels).sum(), logits)
    assert gradient.isfinite().all()
    for cell, label in enumerate([0, 1, 0]):
        _, slope = by_hand(name, logits[0, cell].double().tolist(), label)
        assert gradient[0, cell].double().tolist() == pytest.approx(slope, rel=2**-7, abs=1e-6)


def test_stablemax_gradients_by_finite_differences() -> None:
    # Softmax is computed in float32, too coarse for this; the comparison by hand covers it.
    logits, labels = example(torch.float64)
    torch.autograd.gradcheck(lambda x: stablemax_cross_entropy(x, labels), logits.requires_grad_())


@pytest.mark.parametrize("vocab", [5, 11, 1000])
@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0, 1e3, 1e6, 1e10])
def test_stablemax_without_float64_is_off_by_a_bounded_share(
    vocab: int, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 100_000 // vocab
    logits = (scale * torch.randn(rows, vocab, generator=seeded())).requires_grad_()
    labels = torch.randint(vocab, (rows,), generator=seeded(1))
    exact = stablemax_cross_entropy(logits, labels)
    (slope,) = torch.autograd.grad(exact.sum(), logits)
    monkeypatch.setattr("trm.network.float64.has_float64", lambda _: False)
    narrow = stablemax_cross_entropy(logits, labels)
    (narrow_slope,) = torch.autograd.grad(narrow.sum(), logits)
    assert (exact.dtype, narrow.dtype) == (torch.float64, torch.float32)
    assert float(((narrow - exact).abs() / (1 + exact)).detach().max()) <= 2e-6
    # A gradient is a difference of two parts, each at most 1.
    assert float((narrow_slope - slope).abs().max()) <= 1e-6


def output(logits: Tensor, q: list[float], cont: list[float] | None = None) -> Output:
    halt = torch.tensor(q, requires_grad=True)
    other = torch.tensor(cont if cont is not None else [0.0] * len(q), requires_grad=True)
    return Output(logits, halt, other)


def test_act_loss_by_hand() -> None:
    logits, labels = example()
    logits[1] = -2.0
    logits[1].scatter_(-1, labels[1].unsqueeze(-1), 4.0)
    logits[0, :3] = 7.0
    q = [0.3, -1.2, 2.0, 0.0]
    config = LossConfig(halt_weight=0.7)
    step = output(logits.requires_grad_(), q)
    losses = act_loss(step, labels, config)
    assert losses.exact.tolist() == [False, True, False, False]
    lm = 0.0
    for i in range(4):
        cells = [j for j in range(6) if int(labels[i, j]) != IGNORE]
        values = [
            by_hand(config.loss_type, logits[i, j].double().tolist(), int(labels[i, j]))[0]
            for j in cells
        ]
        lm += sum(values) / len(values)
    # softplus(-q) where right, softplus(q) where wrong
    halt = sum(
        math.log1p(math.exp(-x if right else x))
        for x, right in zip(q, losses.exact.tolist(), strict=True)
    )
    assert float(losses.lm.detach()) == pytest.approx(lm, rel=1e-6)
    assert float(losses.halt.detach()) == pytest.approx(halt, rel=1e-6)
    assert float(losses.total.detach()) == pytest.approx((lm + 0.7 * halt) / 4, rel=1e-6)
    assert float(losses.cont) == 0.0
    losses.total.backward()  # type: ignore[no-untyped-call]
    assert step.q_halt.grad is not None
    expected = [
        0.7 / 4 * (1 / (1 + math.exp(-x)) - right)
        for x, right in zip(q, losses.exact.tolist(), strict=True)
    ]
    assert step.q_halt.grad.tolist() == pytest.approx(expected, rel=1e-5)


def test_continue_loss_by_hand() -> None:
    logits, labels = example()
    cont, target = [0.5, -3.0, 1.0, 2.0], [0.2, 0.9, 0.5, 0.0]
    plain = act_loss(output(logits, [0.0] * 4, cont), labels, LossConfig())
    step = output(logits, [0.0] * 4, cont)
    losses = act_loss(step, labels, LossConfig(continue_weight=0.25), torch.tensor(target))
    expected = sum(
        t * math.log1p(math.exp(-x)) + (1 - t) * math.log1p(math.exp(x))
        for x, t in zip(cont, target, strict=True)
    )
    assert float(losses.cont.detach()) == pytest.approx(expected, rel=1e-6)
    extra = float(losses.total.detach()) - float(plain.total.detach())
    assert extra == pytest.approx(0.25 * expected / 4, rel=1e-5)
    losses.total.backward()  # type: ignore[no-untyped-call]
    assert step.q_continue.grad is not None
    slopes = [0.25 / 4 * (1 / (1 + math.exp(-x)) - t) for x, t in zip(cont, target, strict=True)]
    assert step.q_continue.grad.tolist() == pytest.approx(slopes, rel=1e-5)


def test_a_row_without_labels_costs_no_tokens_and_stays_finite() -> None:
    logits, labels = example()
    labels[2] = IGNORE
    step = output(logits.requires_grad_(), [0.0] * 4)
    losses = act_loss(step, labels, LossConfig(halt_weight=0.0))
    assert losses.lm.isfinite()
    assert losses.total.isfinite()
    losses.total.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert not logits.grad[2].any()
    assert bool(losses.exact[2])


def test_an_unlabelled_cell_moves_nothing() -> None:
    logits, labels = example()
    q = [0.0] * 4
    before = act_loss(output(logits, q), labels, LossConfig())
    changed = logits.clone()
    changed[0, :3] = 50 * torch.randn(3, 5, generator=seeded(4))
    after = act_loss(output(changed, q), labels, LossConfig())
    assert torch.equal(before.lm, after.lm)
    assert torch.equal(before.exact, after.exact)


def test_an_unknown_loss_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"loss_type.*stablemax_cross_entropi.*did you mean"):
        validate(LossConfig, {"loss_type": "stablemax_cross_entropi"}, "loss")
    with pytest.raises(UserError, match="halt_weight"):
        validate(LossConfig, {"halt_weight": -1.0}, "loss")


def random_step(seed: int) -> tuple[Output, Tensor, Tensor]:
    """Outputs that need gradients, labels with some ignored and some rows right, and weights."""
    generator = seeded(seed)
    labels = torch.randint(0, 5, (6, 7), generator=generator)
    logits = 2 * torch.randn(6, 7, 5, generator=generator)
    logits[:2].scatter_add_(-1, labels[:2].unsqueeze(-1), torch.full((2, 7, 1), 12.0))
    ignored = torch.rand(6, 7, generator=generator) < 0.2
    ignored[:, 0] = False  # a row without labels has no mean
    labels = torch.where(ignored, IGNORE, labels)
    q, cont = torch.randn(2, 6, generator=generator)
    step = Output(logits.requires_grad_(), q.requires_grad_(), cont.requires_grad_())
    return step, labels, torch.rand(6, generator=generator)


def weighted_by_hand(
    step: Output, labels: Tensor, target: Tensor, weights: Tensor, config: LossConfig, halt: float
) -> Tensor:
    """The same loss in float64, row by row."""
    total = torch.zeros((), dtype=torch.float64)
    for row, weight in enumerate(weights.double()):
        cells = [j for j in range(labels.shape[1]) if int(labels[row, j]) != IGNORE]
        x = step.logits[row].double()
        s = torch.where(x < 0, 1 / (1 - x.clamp(max=0)), x + 1)
        p = s / s.sum(-1, keepdim=True)
        lm = -torch.stack([p[j, int(labels[row, j])].log() for j in cells]).mean()
        right = all(int(x[j].argmax()) == int(labels[row, j]) for j in cells)
        q, cont, t = step.q_halt[row].double(), step.q_continue[row].double(), target[row].double()
        bce = torch.log1p(torch.exp(-q if right else q))
        bce_continue = t * torch.log1p(torch.exp(-cont)) + (1 - t) * torch.log1p(torch.exp(cont))
        total = total + weight * (lm + halt * bce + config.continue_weight * bce_continue)
    return total / len(labels)


def gradients(loss: Tensor, step: Output) -> list[Tensor]:
    return list(torch.autograd.grad(loss, [step.logits, step.q_halt, step.q_continue]))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("halt_weight", [0.0, 0.3, 2.0])
def test_weighted_rows_and_a_curriculums_halt_weight_by_hand(seed: int, halt_weight: float) -> None:
    step, labels, weights = random_step(seed)
    target = torch.rand(6, generator=seeded(seed + 1))
    config = LossConfig(halt_weight=9.0, continue_weight=0.25)
    losses = act_loss(step, labels, config, target, halt_weight=halt_weight, weights=weights)
    expected = weighted_by_hand(step, labels, target, weights, config, halt_weight)
    assert losses.exact[:2].all()
    assert not losses.exact[2:].any()
    torch.testing.assert_close(losses.total.double(), expected, rtol=1e-6, atol=1e-7)
    pairs = zip(gradients(losses.total, step), gradients(expected, step), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours.double(), theirs.double(), rtol=1e-5, atol=1e-7)


def test_weights_of_1_are_no_weights() -> None:
    step, labels, _ = random_step(0)
    config, target = LossConfig(), torch.rand(6, generator=seeded(3))
    plain = act_loss(step, labels, config, target)
    ones = act_loss(step, labels, config, target, halt_weight=0.5, weights=torch.ones(6))
    assert torch.equal(plain.total, ones.total)
    pairs = zip(gradients(plain.total, step), gradients(ones.total, step), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0.0)


def test_a_row_of_weight_0_learns_nothing_and_sums_stay_unweighted() -> None:
    step, labels, weights = random_step(1)
    weights[3] = 0.0
    losses = act_loss(step, labels, LossConfig(), weights=weights)
    plain = act_loss(step, labels, LossConfig())
    assert torch.equal(losses.lm, plain.lm)
    assert torch.equal(losses.halt, plain.halt)
    slopes = torch.autograd.grad(losses.total, [step.logits, step.q_halt])
    assert all(not slope[3].any() and slope[2].any() for slope in slopes)
