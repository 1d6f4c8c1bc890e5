"""Probabilities of tokens from logits, as each token loss has them.

>>> torch.allclose(LOG_PROBABILITIES["softmax"](torch.zeros(4)).exp(), torch.full((4,), 0.25))
True
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trm.network.float64 import widest


def stable_weights(x: Tensor) -> Tensor:
    """s(x) = x + 1 for x >= 0, 1 / (1 - x) below: what stands in for exp in a stablemax.

    Prieto et al., "Grokking at the Edge of Numerical Stability" (arXiv 2501.04697). The branch for
    negative x sees only clamped values: its gradient at x = 1 would be infinite, and `where`
    multiplies that by zero.
    """
    return torch.where(x < 0, 1.0 / (1.0 - x.clamp(max=0.0)), x + 1.0)


def log_stablemax(logits: Tensor) -> Tensor:
    """log(s(x) / sum s(x)) over the last axis, in the type of the logits."""
    return stable_weights(logits).log() - log_normaliser("stablemax", logits)[..., None]


def log_softmax(logits: Tensor) -> Tensor:
    """log(exp(x) / sum exp(x)) over the last axis, in the type of the logits."""
    return logits.log_softmax(-1)


LOG_PROBABILITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "stablemax": log_stablemax,
    "softmax": log_softmax,
}


def log_normaliser(kind: str, logits: Tensor) -> Tensor:
    """log of what probabilities are divided by, over the last axis: log sum exp(x), log sum s(x).

    Args:
        kind: a name in `LOG_PROBABILITIES`.
    """
    if kind == "softmax":
        return logits.logsumexp(-1)
    return stable_weights(logits).sum(-1).log()


PROBABILITIES = {
    "stablemax_cross_entropy": "stablemax",
    "softmax_cross_entropy": "softmax",
}
"""What makes the logits of a token loss probabilities; the losses of plug-ins have none."""


def in_type_of(kind: str, logits: Tensor) -> Tensor:
    """Logits in the type in which the token loss with such probabilities computes."""
    return widest(logits) if kind == "stablemax" else logits.float()


def probabilities(logits: Tensor, loss_type: str) -> Tensor:
    """Of each token in each cell, as a token loss has them, float32.

    Args:
        loss_type: one in `PROBABILITIES`.
    """
    kind = PROBABILITIES[loss_type]
    return LOG_PROBABILITIES[kind](in_type_of(kind, logits)).exp().float()
