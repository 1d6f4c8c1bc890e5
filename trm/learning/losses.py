"""Token losses and the loss of one supervision step.

>>> logits, labels = torch.zeros(2, 3, 10), torch.full((2, 3), 4)
>>> TOKEN_LOSSES["softmax_cross_entropy"](logits, labels).shape
torch.Size([2, 3])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from curricula.component import Component, NameIn
from trm.learning.constraints import Past, constraints
from trm.learning.probabilities import (
    LOG_PROBABILITIES,
    PROBABILITIES,
    in_type_of,
    log_normaliser,
    stable_weights,
)
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
    """The `loss` section; the weights of the reference are 0.5 each, what it does not have is 0.

    Attributes:
        loss_type: the loss of a token.
        halt_weight: weight of the halting loss.
        continue_weight: weight of the continue loss; it counts only with the continue head
            (`no_ACT_continue: false`).
        halt_loss: of both heads: `bce`, binary cross-entropy, as in the reference; `brier`, the
            square of the probability's distance from its target (Brier 1950).
        monotonic_weight: weight of relu(q_before - q)^2, a halting logit that falls from one
            supervision step of a row to the next.
        label_smoothing: share of a cell's target that goes to all tokens alike
            (arXiv 1512.00567, section 7).
        z_loss: weight of (log Z)^2 for each cell, Z what its probabilities are divided by; 1e-4 in
            PaLM (arXiv 2204.02311, section 5).
        residual_weight: weight of ||z' - z||^2 / ||z||^2 over a supervision step, the mean of z_H
            and z_L: pulls towards a fixed point.
        consistency_weight: weight of the squared change of a cell's probabilities since the row's
            supervision step before, as in temporal ensembling (arXiv 1610.02242).
        target_corruption: share of the cells of an example whose target is wrong at its first
            supervision step, fewer with each, none at the last (deep improvement supervision,
            arXiv 2511.16886).
        corrupt_with: what a wrong target is: the cell's `input`; a token drawn at `random`, the
            same one as long as the cell is wrong; or what the `draft` has there, which is so undone
            step by step (`train.draft`).
    """

    loss_type: Annotated[str, NameIn(TOKEN_LOSSES, "loss")] = "stablemax_cross_entropy"
    halt_weight: float = Field(default=0.5, ge=0.0, le=1e6)
    continue_weight: float = Field(default=0.5, ge=0.0, le=1e6)
    halt_loss: Literal["bce", "brier"] = "bce"
    monotonic_weight: float = Field(default=0.0, ge=0.0, le=1e6)
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    z_loss: float = Field(default=0.0, ge=0.0, le=1e6)
    residual_weight: float = Field(default=0.0, ge=0.0, le=1e6)
    consistency_weight: float = Field(default=0.0, ge=0.0, le=1e6)
    target_corruption: float = Field(default=0.0, ge=0.0, le=1.0)
    corrupt_with: Literal["input", "random", "draft"] = "input"

    @model_validator(mode="after")
    def _has_probabilities(self) -> LossConfig:
        for key in ("label_smoothing", "z_loss", "consistency_weight"):
            if getattr(self, key) and self.loss_type not in PROBABILITIES:
                known = " or ".join(PROBABILITIES)
                raise ValueError(
                    f"{key} needs probabilities, which loss_type {self.loss_type!r} does not "
                    f"have: use {known}, or leave it 0"
                )
        return self

    @property
    def undoes_drafts(self) -> bool:
        """Whether targets are parts of a draft."""
        return self.target_corruption > 0.0 and self.corrupt_with == "draft"

    @property
    def plain(self) -> bool:
        """Whether it is a token loss and binary cross-entropies alone, as the reference's."""
        return self.halt_loss == "bce" and not (
            self.monotonic_weight
            or self.label_smoothing
            or self.z_loss
            or self.residual_weight
            or self.consistency_weight
            or self.target_corruption
        )

    @property
    def alone(self) -> bool:
        """Whether a step's loss needs its output and its labels alone."""
        return not (
            self.monotonic_weight
            or self.residual_weight
            or self.consistency_weight
            or self.target_corruption
        )


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
    targets: Tensor | None = None,
    past: Past | None = None,
) -> Losses:
    """Token loss (mean over each row's labelled cells) plus weighted losses of q and constraints.

    The halting target is whether the row is right (arXiv 2510.04871, figure 3).

    Args:
        labels: `[batch, seq_len]`, tokens or `IGNORE`.
        target_continue: targets of the continue head `[batch]`; None leaves that loss out.
        halt_weight: weight of the halting loss instead of the config's, as a curriculum has it.
        weights: what each row's loss counts in `total`, `[batch]`; None: 1.
        exact: which rows are right, bool `[batch]`; None: those that equal their label.
        rows: of the whole batch, where these are a part of it.
        fused: whether to compute the token loss in the compiled library, where that has it.
        targets: what the token loss is of instead of `labels`, ignored where these are.
        past: needed where the config is not `alone`.
    """
    counted = labels != IGNORE
    if exact is None:
        right = (output.logits.detach().argmax(-1) == labels) | ~counted
        exact = right.all(dim=-1)
    per_cell = _cells(output.logits, labels if targets is None else targets, config, fused)
    cells = counted.sum(-1).clamp(min=1)
    lm = per_cell.sum(-1) / cells
    halt = _HALT_LOSSES[config.halt_loss](output.q_halt, exact.to(output.q_halt.dtype))
    cont = torch.zeros_like(halt)
    if target_continue is not None:
        cont = _HALT_LOSSES[config.halt_loss](output.q_continue, target_continue)

    def total_of(loss: Tensor) -> Tensor:
        return loss.sum() if weights is None else (weights * loss).sum()

    total = total_of(lm) + (config.halt_weight if halt_weight is None else halt_weight) * total_of(
        halt
    )
    if target_continue is not None:
        total = total + config.continue_weight * total_of(cont)
    if past is not None:
        for weight, constraint in constraints(output, config, past, counted):
            total = total + weight * total_of(constraint)
    total = total / (len(labels) if rows is None else rows)
    return Losses(total, lm.sum(), halt.sum(), cont.sum(), exact)


def _cells(logits: Tensor, targets: Tensor, config: LossConfig, fused: bool) -> Tensor:
    """Each cell's loss, 0 where ignored, `[batch, seq_len]`."""
    token_loss = TOKEN_LOSSES[config.loss_type]
    if fused and token_loss is stablemax_cross_entropy and takes_cells(logits):
        token_loss = fused_stablemax
    per_cell = token_loss(logits, targets)
    if not config.label_smoothing and not config.z_loss:
        return per_cell
    kind, counted = PROBABILITIES[config.loss_type], targets != IGNORE
    if config.label_smoothing:
        logs = LOG_PROBABILITIES[kind](in_type_of(kind, logits))
        alike = torch.where(counted, -logs.mean(-1), 0.0)
        per_cell = (1.0 - config.label_smoothing) * per_cell + config.label_smoothing * alike
    if config.z_loss:
        size = log_normaliser(kind, in_type_of(kind, logits)).square()
        per_cell = per_cell + config.z_loss * torch.where(counted, size, 0.0)
    return per_cell


def _cross_entropy(q: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(q, target, reduction="none")


def _brier(q: Tensor, target: Tensor) -> Tensor:
    return (q.sigmoid() - target).square()


_HALT_LOSSES = {"bce": _cross_entropy, "brier": _brier}
