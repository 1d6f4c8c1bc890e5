"""The optimiser of puzzle embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from trm.learning.uncompiled import Uncompiled


class SignSGD(Uncompiled):
    """p = (1 - lr * wd) p - lr * sign(gradient), for rows of an embedding that the batch used.

    Rows without a gradient stay as they are, as in the reference's sparse embedding. A sparse
    gradient costs its own rows alone, whatever the table has.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every row that has a gradient."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if isinstance(group["lr"], Tensor):
                    self._step_unread(p, group, getattr(self, "found_inf", None))
                    continue
                if p.grad.is_sparse:
                    self._step_rows(p, p.grad, group["lr"], group["weight_decay"])
                    continue
                used = (p.grad != 0).any(dim=-1, keepdim=True)
                updated = p * (1.0 - group["lr"] * group["weight_decay"])
                updated.sub_(p.grad.sign(), alpha=group["lr"])
                p.copy_(torch.where(used, updated, p))
        return loss

    @staticmethod
    def _step_unread(p: nn.Parameter, group: dict[str, Any], found_inf: Tensor | None) -> None:
        """The same with a learning rate that is a tensor, as `AdamAtan2` has it."""
        lr, gradient = group["lr"], p.grad
        assert gradient is not None
        values = gradient._values() if gradient.is_sparse else gradient
        rows = gradient._indices()[0] if gradient.is_sparse else None
        weights = p if rows is None else p[rows]
        used = (values != 0).any(dim=-1, keepdim=True)
        if found_inf is not None:
            used = used & (found_inf == 0)
        change = -lr * (group["weight_decay"] * weights + values.sign())
        change = torch.where(used, change, 0.0)
        # A row that occurs twice has a gradient in its first place alone: see `clip_gradients`.
        p.add_(change) if rows is None else p.index_add_(0, rows, change)

    @staticmethod
    def _step_rows(p: nn.Parameter, gradient: Tensor, lr: float, weight_decay: float) -> None:
        gradient = gradient.coalesce()
        rows, values = gradient.indices()[0], gradient.values()
        used = (values != 0).any(dim=-1, keepdim=True)
        before = p[rows]
        updated = (before * (1.0 - lr * weight_decay)).sub_(values.sign(), alpha=lr)
        p[rows] = torch.where(used, updated, before)
