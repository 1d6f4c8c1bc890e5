"""The stablemax cross-entropy of every cell through the library, with its gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trm.network.fused.library import library


def takes_cells(logits: Tensor) -> bool:
    """Whether the library computes the loss of these logits."""
    return logits.dtype == torch.float32 and logits.device.type == "cpu"


def fused_stablemax(logits: Tensor, labels: Tensor) -> Tensor:
    """What `trm.learning.losses.stablemax_cross_entropy` is, in float64 as there.

    Args:
        logits: float32 `[..., vocab]`, on the CPU.
        labels: `[...]`, tokens or `IGNORE`.

    Raises:
        IndexError: a label is no token.
    """
    return _Cells.apply(logits, labels)  # type: ignore[no-any-return,no-untyped-call]


class _Cells(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        logits, labels = logits.contiguous(), labels.to(torch.int32).contiguous()
        found = torch.empty(labels.shape, dtype=torch.float64)
        cells, vocab = labels.numel(), logits.shape[-1]
        if library().cells(cells, vocab, logits.data_ptr(), labels.data_ptr(), found.data_ptr()):
            raise IndexError("index out of range: a label that the vocabulary does not have")
        ctx.save_for_backward(logits, labels)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        logits, labels = ctx.saved_tensors
        gradient, found = gradient.contiguous(), torch.empty_like(logits)
        library().cells_backward(
            labels.numel(), logits.shape[-1], logits.data_ptr(), labels.data_ptr(),
            gradient.data_ptr(), found.data_ptr(),
        )  # fmt: skip
        return found, None
