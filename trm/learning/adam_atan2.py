"""Adam with atan2 in place of the division."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from trm.learning.uncompiled import Uncompiled
from trm.network.float64 import widest


class AdamAtan2(Uncompiled):
    """p = (1 - lr * wd) p - lr * atan2(m / (1 - beta1^t), sqrt(v / (1 - beta2^t))).

    m and v are Adam's moments. Everett et al., "Scaling Exponents Across Parameterizations and
    Optimizers" (arXiv 2407.05872), section 5, with both of its constants 1, as in the reference.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            grads = [p.grad for p in params]
            for p in params:
                if not self.state[p]:
                    self.state[p] = {
                        "step": torch.zeros(()),
                        "exp_avg": torch.zeros_like(p),
                        "exp_avg_sq": torch.zeros_like(p),
                    }
            first = [self.state[p]["exp_avg"] for p in params]
            second = [self.state[p]["exp_avg_sq"] for p in params]
            lr, (beta1, beta2) = group["lr"], group["betas"]
            if isinstance(lr, Tensor):
                self._step_unread(group, params, getattr(self, "found_inf", None))
                continue
            torch._foreach_lerp_(first, grads, 1.0 - beta1)
            torch._foreach_mul_(second, beta2)
            torch._foreach_addcmul_(second, grads, grads, 1.0 - beta2)
            if group["weight_decay"]:
                torch._foreach_mul_(params, 1.0 - lr * group["weight_decay"])
            for p, m, v in zip(params, first, second, strict=True):
                self.state[p]["step"] += 1
                t = int(self.state[p]["step"])
                denominator = v.sqrt().mul_(math.sqrt((1.0 - beta1**t) ** 2 / (1.0 - beta2**t)))
                # Both arguments are scaled by 1 - beta1^t, which leaves atan2 as it is.
                p.sub_(torch.atan2(m, denominator), alpha=lr)
        return loss

    def _step_unread(
        self, group: dict[str, Any], params: list[nn.Parameter], found_inf: Tensor | None
    ) -> None:
        """The same with a learning rate that is a tensor, none of which the host reads.

        Nothing changes where `found_inf` is 1, as in torch's own optimisers.
        """
        beta1, beta2 = group["betas"]
        for p in params:
            state, gradient = self.state[p], p.grad
            assert gradient is not None
            if state["step"].device != p.device:
                state["step"] = state["step"].to(p.device)
            sound = torch.ones_like(group["lr"]) if found_inf is None else 1.0 - found_inf
            gradient = torch.where(sound > 0, gradient, 0.0)
            first, second, lr = state["exp_avg"], state["exp_avg_sq"], group["lr"] * sound
            state["step"] += sound
            first.lerp_(gradient, (1.0 - beta1) * sound)
            second.lerp_(gradient.square(), (1.0 - beta2) * sound)
            t = widest(state["step"].clamp(min=1.0))  # one that was never sound: 0 / 0
            scale = ((1.0 - beta1**t).square() / (1.0 - beta2**t)).sqrt().to(p.dtype)
            p.mul_(1.0 - lr * group["weight_decay"])
            p.sub_(torch.atan2(first, second.sqrt() * scale) * lr)
