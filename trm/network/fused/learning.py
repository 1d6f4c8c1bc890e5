"""A supervision step's loss and gradients in one call, each row's while that row is in cache."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from trm.network.fused import step
from trm.network.fused.library import library

if TYPE_CHECKING:
    from trm.network.model import TRM, Latent

TOKEN_LOSSES = ("stablemax_cross_entropy", "softmax_cross_entropy")
"""The token losses that the library has, as `loss.loss_type` names them."""


class Learnt(NamedTuple):
    """What a step gives beside the gradients.

    Attributes:
        z_H: the next state, `[batch, positions, hidden]`.
        z_L: likewise.
        q: the halting logit and the continue logit, `[batch, 2]`.
        losses: each row's token loss and halting loss, float64 `[batch, 2]`.
        right: rows whose every counted cell is its label, bool `[batch]`.
    """

    z_H: Tensor
    z_L: Tensor
    q: Tensor
    losses: Tensor
    right: Tensor


def learns(model: TRM, loss_type: str) -> bool:
    """Whether the library can take this model's step with its loss."""
    return model.fused is not None and step.embeds(model) and loss_type in TOKEN_LOSSES


def learn(
    model: TRM,
    latent: Latent,
    inputs: Tensor,
    puzzles: Tensor,
    labels: Tensor,
    *,
    H_cycles: int,
    L_cycles: int,
    loss_type: str,
    factor: Tensor,
    halt_weight: float,
) -> Learnt:
    """One supervision step of a model that `learns`; its parameters' gradients are new ones.

    They are those of sum of factor x (token loss + halt_weight x halting loss) over the rows, as
    `trm.learning.losses.act_loss` has both.

    Args:
        latent: a state that `model.fused` takes.
        labels: `[batch, seq_len]`, tokens or `IGNORE`.
        factor: what each row's loss counts, float64 `[batch]`.

    Raises:
        IndexError: a token or a label that the vocabulary does not have.
    """
    weights = step.parameters(model)
    with torch.no_grad():
        task, constants, puzzle, _ = step.call(model, latent, inputs, puzzles, H_cycles, L_cycles)
    *_, z_H, z_L = constants
    rows = len(inputs)
    found = Learnt(
        torch.empty_like(z_H),
        torch.empty_like(z_L),
        torch.empty(rows, 2),
        torch.empty(rows, 2, dtype=torch.float64),
        torch.empty(rows, dtype=torch.bool),
    )
    gradients = [torch.empty_like(weight) for weight in weights]
    d_puzzle = None if puzzle is None else torch.empty_like(puzzle)
    alive = step.point(task, constants, puzzle, None, weights)
    to, layers = step.places(gradients, d_puzzle, None)
    wanted = labels.to(torch.int32).contiguous()
    code = library().learn(
        ctypes.byref(task), *map(step.address, (z_H, z_L, found.z_H, found.z_L, found.q)),
        TOKEN_LOSSES.index(loss_type), *map(step.address, (wanted, factor)), halt_weight,
        *map(step.address, (found.losses, found.right)), ctypes.byref(to),
    )  # fmt: skip
    del alive, layers
    step.require(code)
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient if weight.requires_grad else None
    table = model.puzzle_emb
    if table is not None:
        table.grad = None
        if table.requires_grad:
            table.grad = torch.ops.aten.embedding_backward(
                d_puzzle, puzzles, len(table), -1, False, model.sparse_rows
            )
    return found
