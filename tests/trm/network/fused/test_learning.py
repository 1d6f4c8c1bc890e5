"""A step's loss and gradients in one call against autograd's over the layers in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trm.network.fused.test_step import FACTOR, FLOOR, VOCAB, batch, build, errors, fused
from trm.learning.losses import LossConfig, act_loss
from trm.network.fused.learning import TOKEN_LOSSES, learn, learns
from trm.network.fused.step import MOST_VOCAB
from trm.network.model import SPARSE_FROM, TRM
from trm.tasks.base import IGNORE


def labels_and_factor(rows: int, seq_len: int, vocab: int) -> tuple[Tensor, Tensor]:
    """Some cells are not counted, one row has none that is; weights differ by row."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.randint(0, vocab, (rows, seq_len), generator=generator, dtype=torch.int32)
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = IGNORE
    labels[0] = IGNORE
    return labels, torch.rand(rows, generator=generator, dtype=torch.float64)


def gradients(model: TRM) -> dict[str, Tensor]:
    return {n: p.grad.to_dense() for n, p in model.named_parameters() if p.grad is not None}


def by_autograd(model: TRM, rows: int, loss: LossConfig) -> dict[str, Tensor]:
    latent, inputs, puzzles, _ = batch(model, rows)
    after, output = model(latent, inputs, puzzles)
    labels, factor = labels_and_factor(rows, inputs.shape[1], len(model.embed_tokens))
    found = act_loss(output, labels, loss, weights=factor.to(model.dtype), rows=1)
    model.zero_grad()
    found.total.backward()  # type: ignore[no-untyped-call]
    return {
        "z_H": after.z_H, "z_L": after.z_L, "lm": found.lm.detach(), "halt": found.halt.detach(),
        "exact": found.exact.double(), "q": output.q_halt.detach(), **gradients(model),
    }  # fmt: skip


def at_once(model: TRM, rows: int, loss: LossConfig) -> dict[str, Tensor]:
    latent, inputs, puzzles, _ = batch(model, rows)
    labels, factor = labels_and_factor(rows, inputs.shape[1], len(model.embed_tokens))
    found = learn(
        model, latent, inputs, puzzles, labels,
        H_cycles=model.config.H_cycles, L_cycles=model.config.L_cycles,
        loss_type=loss.loss_type, factor=factor, halt_weight=loss.halt_weight,
    )  # fmt: skip
    lm, halt = found.losses.sum(0)
    return {
        "z_H": found.z_H, "z_L": found.z_L, "lm": lm, "halt": halt,
        "exact": found.right.double(), "q": found.q[:, 0], **gradients(model),
    }  # fmt: skip


@pytest.mark.parametrize("mixer", ["mlp_t", "attention"])
@pytest.mark.parametrize("loss_type", TOKEN_LOSSES)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hidden_size": 24, "swiglu_multiple": 1, "L_layers": 1},
        {"hidden_size": 64, "seq_len": 81, "expansion": 4.0, "swiglu_multiple": 64},
        {"puzzle_emb_len": 0, "puzzle_emb_ndim": 0, "one_step_gradient": True},
        {"identifiers": SPARSE_FROM + 1, "vocab": 40},
    ],
    ids=lambda changes: ",".join(f"{key}={value}" for key, value in changes.items()) or "base",
)
def test_it_agrees_with_float64(mixer: str, loss_type: str, changes: dict[str, Any]) -> None:
    loss = LossConfig(loss_type=loss_type, halt_weight=0.3)
    rows = 5
    true = by_autograd(build(torch.float64, mixer=mixer, **changes), rows, loss)
    assert 0 < float(true["exact"].sum()) < rows
    eager = errors(by_autograd(build(mixer=mixer, **changes), rows, loss), true)
    mine = errors(at_once(fused(mixer=mixer, **changes), rows, loss), true)
    assert max(mine.values()) <= max(FLOOR, FACTOR * max(eager.values())), (mine, eager)


@pytest.mark.parametrize("rows", [1, 2, 65])
@pytest.mark.parametrize("threads", [1, 2])
def test_every_number_of_rows_and_threads(rows: int, threads: int) -> None:
    before, loss = torch.get_num_threads(), LossConfig()
    torch.set_num_threads(threads)
    try:
        found, again = at_once(fused(), rows, loss), at_once(fused(), rows, loss)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[name], again[name]) for name in found)
    eager = by_autograd(build(torch.float64), rows, loss)
    far = {name: float((found[name] - eager[name]).abs().max()) for name in eager}
    assert max(far.values()) < 1e-4 * max(float(each.abs().max()) for each in eager.values())


def test_logits_far_from_0_keep_finite_losses_and_gradients() -> None:
    for loss_type in TOKEN_LOSSES:
        model = fused()
        with torch.no_grad():
            model.lm_head.weight *= 1e4
        found = at_once(model, 4, LossConfig(loss_type=loss_type))
        assert all(bool(each.isfinite().all()) for each in found.values())


def test_parameters_that_stand_still_have_no_gradient() -> None:
    model, free = fused(), fused()
    model.layers.requires_grad_(False)
    found, whole = at_once(model, 4, LossConfig()), at_once(free, 4, LossConfig())
    assert not any(name.startswith("layers") for name in found)
    assert all(torch.equal(found[name], whole[name]) for name in found)


@pytest.mark.parametrize("label", [-1, VOCAB])
def test_a_label_that_is_no_token(label: int) -> None:
    model = fused()
    latent, inputs, puzzles, _ = batch(model, 2)
    with pytest.raises(IndexError, match="label"):
        learn(
            model, latent, inputs, puzzles, torch.full_like(inputs, label), H_cycles=1, L_cycles=1,
            loss_type=TOKEN_LOSSES[0], factor=torch.ones(2, dtype=torch.float64), halt_weight=0.5,
        )  # fmt: skip


def test_what_it_does_not_learn() -> None:
    assert learns(fused(), "softmax_cross_entropy")
    assert not learns(fused(), "another")
    assert not learns(build(), "softmax_cross_entropy")
    assert not learns(fused(pos_encodings="learned"), "softmax_cross_entropy")
    assert not learns(fused(vocab=MOST_VOCAB + 1), "softmax_cross_entropy")
