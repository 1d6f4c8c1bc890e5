"""Token losses and the loss of one supervision step.

>>> logits, labels = torch.zeros(2, 3, 10), torch.full((2, 3), 4)
>>> TOKEN_LOSSES["softmax_cross_entropy"](logits, labels).shape
torch.Size([2, 3])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from curricula.component import Component, NameIn
from trm.learning.probabilities import stable_weights
from trm.network.float64 import widest
from trm.network.fused.cells import fused_stablemax, takes_cells
from trm.network.model import Output
from trm.tasks.base import IGNORE


def stablemax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log(s(x_label) / sum s(x)) with s(x) = x + 1 for x >= 0, 1 / (1 - x) below.

    Prieto et al., "Grokking at the Edge of Numerical Stability" (arXiv 2501.04697).

    Args:
        logits: `[..., vocab]`, any float type.
        labels: `[...]`, tokens or `IGNORE`.

    Returns:
        float64 `[...]`, 0 where ignored; float32 on a device without float64, where a cell is off
        by at most 2e-6 of 1 + its loss (tests/trm/learning/test_losses.py).
    """
    x = widest(logits)
    s = stable_weights(x)
    counted = labels != IGNORE
    chosen = s.gather(-1, torch.where(counted, labels, 0).long().unsqueeze(-1)).squeeze(-1)
    return torch.where(counted, s.sum(-1).log() - chosen.log(), 0.0)


def softmax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of a softmax in float32.

    Args:
        logits: `[..., vocab]`, any float type.
        labels: `[...]`, tokens or `IGNORE`.

    Returns:
        float32 `[...]`, 0 where ignored.
    """
    flat = F.cross_entropy(
        logits.float().flatten(0, -2),
        labels.long().flatten(),
        ignore_index=IGNORE,
        reduction="none",
    )
    return flat.view(labels.shape)


TOKEN_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "stablemax_cross_entropy": stablemax_cross_entropy,
    "softmax_cross_entropy": softmax_cross_entropy,
}


class LossConfig(Component):
    """The `loss` section; the weights of the reference are 0.5 each.

    Attributes:
        loss_type: the loss of a token.
        halt_weight: weight of the halting loss.
        continue_weight: weight of the continue loss; it counts only with the continue head
            (`no_ACT_continue: false`).
    """

    loss_type: Annotated[str, NameIn(TOKEN_LOSSES, "loss")] = "stablemax_cross_entropy"
    halt_weight: float = Field(default=0.5, ge=0.0, le=1e6)
    continue_weight: float = Field(default=0.5, ge=0.0, le=1e6)


@dataclass
class Losses:
    """The loss of one supervision step.

    Attributes:
        total: what is optimised, the mean over the batch; of a part of one, its share of that.
        lm: token loss, summed over the batch.
        halt: halting loss, summed over the batch, without its weight.
        cont: continue loss likewise; 0 without the continue head.
        exact: rows whose answer is right: every labelled cell, unless the task's rules decide;
            bool `[batch]`.
    """

    total: Tensor
    lm: Tensor
    halt: Tensor
    cont: Tensor
    exact: Tensor


def act_loss(
    output: Output,
    labels: Tensor,
    config: LossConfig,
    target_continue: Tensor | None = None,
    *,
    halt_weight: float | Tensor | None = None,
    weights: Tensor | None = None,
    exact: Tensor | None = None,
    rows: int | None = None,
    fused: bool = False,
) -> Losses:
    """Token loss (mean over each row's labelled cells) plus weighted binary cross-entropies of q.

    The halting target is whether the row is right (arXiv 2510.04871, figure 3).

    Args:
        labels: `[batch, seq_len]`, tokens or `IGNORE`.
        target_continue: targets of the continue head `[batch]`; None leaves that loss out.
        halt_weight: weight of the halting loss instead of the config's, as a curriculum has it.
        weights: what each row's loss counts in `total`, `[batch]`; None: 1.
        exact: which rows are right, bool `[batch]`; None: those that equal their label.
        rows: of the whole batch, where these are a part of it.
        fused: whether to compute the token loss in the compiled library, where that has it.
    """
    counted = labels != IGNORE
    if exact is None:
        right = (output.logits.detach().argmax(-1) == labels) | ~counted
        exact = right.all(dim=-1)
    token_loss = TOKEN_LOSSES[config.loss_type]
    if fused and token_loss is stablemax_cross_entropy and takes_cells(output.logits):
        token_loss = fused_stablemax
    per_cell = token_loss(output.logits, labels)
    lm = per_cell.sum(-1) / counted.sum(-1).clamp(min=1)
    halt = F.binary_cross_entropy_with_logits(
        output.q_halt, exact.to(output.q_halt.dtype), reduction="none"
    )
    cont = torch.zeros_like(halt)
    if target_continue is not None:
        cont = F.binary_cross_entropy_with_logits(
            output.q_continue, target_continue, reduction="none"
        )

    def total_of(loss: Tensor) -> Tensor:
        return loss.sum() if weights is None else (weights * loss).sum()

    total = total_of(lm) + (config.halt_weight if halt_weight is None else halt_weight) * total_of(
        halt
    )
    if target_continue is not None:
        total = total + config.continue_weight * total_of(cont)
    total = total / (len(labels) if rows is None else rows)
    return Losses(total, lm.sum(), halt.sum(), cont.sum(), exact)
