"""Losses that compare a supervision step with the one before it, and targets that come in steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trm.learning.probabilities import probabilities
from trm.network.model import Latent, Output
from trm.tasks.base import IGNORE

if TYPE_CHECKING:
    from trm.learning.losses import LossConfig


@dataclass(frozen=True)
class Past:
    """What came before a supervision step.

    Attributes:
        before: the state that it began from, without a gradient.
        memory: what was kept of each row, see `trm.learning.memory`.
    """

    before: Latent
    memory: Mapping[str, Tensor]


def constraints(
    output: Output, config: LossConfig, past: Past, counted: Tensor
) -> Iterator[tuple[float, Tensor]]:
    """Weights and constraints, each `[batch]`; 0 for a row whose first step it is."""
    if config.monotonic_weight:
        # A row without a step before has minus infinity there.
        fallen = torch.relu(past.memory["q"] - output.q_halt)
        yield config.monotonic_weight, fallen.square()
    if config.residual_weight:
        assert output.state is not None, "the compiled library gives no gradient to the state"
        pairs = (
            (past.before.z_H, output.state.z_H),
            (past.before.z_L, output.state.z_L),
        )
        yield config.residual_weight, torch.stack([_moved(*pair) for pair in pairs]).mean(0)
    if config.consistency_weight:
        old = past.memory["probabilities"]
        change = (probabilities(output.logits, config.loss_type) - old).square().sum(-1)
        known = counted & (old.sum(-1) > 0.0)
        mean = torch.where(known, change, 0.0).sum(-1) / counted.sum(-1).clamp(min=1)
        yield config.consistency_weight, mean


def _moved(before: Tensor, after: Tensor) -> Tensor:
    """||after - before||^2 / ||before||^2, `[batch]`, with a gradient in `after` alone."""
    old = before.detach().float().flatten(1)
    change = (after.float().flatten(1) - old).square().sum(1)
    return change / old.square().sum(1).clamp(min=1e-12)


def corrupted_targets(
    labels: Tensor,
    inputs: Tensor,
    steps: Tensor,
    limit: int | Tensor,
    config: LossConfig,
    memory: Mapping[str, Tensor],
    vocab_size: int,
) -> Tensor | None:
    """What each cell is to become at this supervision step, `[batch, seq_len]`; None: its label.

    At step t of T a cell's target is wrong where its chance, drawn once for the example, is below
    `target_corruption` x (T - t) / (T - 1): a cell that is put right stays right.

    Args:
        labels: `[batch, seq_len]`.
        inputs: the same shape.
        steps: supervision steps that each row has had, this one included, `[batch]`.
        limit: the last step, T.
        memory: holds each cell's chance and what its wrong token is drawn by, or the draft.
    """
    if not config.target_corruption:
        return None
    last = torch.as_tensor(limit, device=steps.device)
    left = (last - steps).clamp(min=0) / (last - 1).clamp(min=1)
    wrong = memory["chances"] < config.target_corruption * left[:, None]
    other = inputs
    if config.corrupt_with == "random":
        other = (memory["tokens"] * vocab_size).to(labels.dtype)
    elif config.corrupt_with == "draft":
        other = torch.where(memory["draft"] < 0, labels, memory["draft"].to(labels.dtype))
    return torch.where(wrong & (labels != IGNORE), other.to(labels.dtype), labels)
