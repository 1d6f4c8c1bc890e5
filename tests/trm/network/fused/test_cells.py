"""The fused stablemax cross-entropy against torch's own operations."""

from __future__ import annotations

import pytest
import torch

from trm.learning.losses import LossConfig, act_loss, stablemax_cross_entropy
from trm.network.fused.cells import fused_stablemax
from trm.network.model import Output
from trm.tasks.base import IGNORE


def cells(vocab: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(5, 7, vocab, generator=generator)
    logits[0, 0] = torch.tensor([1.0, 0.0, -0.0, -1.0, 1e30, -1e30, 1e-30, 2.0, -3.0])[:vocab]
    labels = torch.randint(0, vocab, (5, 7), generator=generator, dtype=torch.int32)
    labels[1, :3] = IGNORE
    labels[2] = IGNORE
    return logits, labels


def test_losses_and_gradients_are_those_of_torch_in_float64() -> None:
    logits, labels = cells()
    one, other = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    mine, true = fused_stablemax(one, labels), stablemax_cross_entropy(other, labels)
    assert mine.dtype == true.dtype == torch.float64
    torch.testing.assert_close(mine, true, rtol=1e-13, atol=1e-13)
    scale = torch.linspace(-1, 2, 35, dtype=torch.float64).view(5, 7)
    (mine * scale).sum().backward()
    (true * scale).sum().backward()
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-6, atol=1e-12)


def test_what_is_not_finite_stays_so_and_a_label_must_be_a_token() -> None:
    logits, labels = cells()
    logits[3, 2, 4] = float("nan")
    labels[3, 2] = 1
    assert fused_stablemax(logits, labels)[3, 2].isnan()
    for wrong in (-1, 9):
        labels[4, 1] = wrong
        with pytest.raises(IndexError):
            fused_stablemax(logits, labels)


def test_the_loss_of_a_step_is_the_same_either_way() -> None:
    logits, labels = cells()
    for weights in (None, torch.linspace(0, 1, 5)):
        found = []
        for fused in (False, True):
            leaf, q = logits.clone().requires_grad_(), torch.zeros(5, requires_grad=True)
            losses = act_loss(
                Output(leaf, q, q), labels, LossConfig(), weights=weights, fused=fused
            )
            losses.total.backward()
            found.append((losses.total.detach(), losses.lm.detach(), leaf.grad))
        torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-12)
