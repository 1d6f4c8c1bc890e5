"""An optimiser: Lion, the sign of an interpolated momentum (arXiv 2302.06675, algorithm 2)."""

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import nn

from trm.learning.optimizers import OPTIMIZERS, OptimizerConfig


class LionConfig(OptimizerConfig):
    """Lion wants a learning rate 3 to 10 times lower than AdamW's."""

    name: Literal["lion"] = "lion"

    def build_main(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return Lion(parameters, self.lr, (self.beta1, self.beta2), self.weight_decay)


class Lion(torch.optim.Optimizer):
    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, betas: tuple[float, float], decay: float
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            lr, (beta1, beta2) = group["lr"], group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                # What is kept in `state` is stored in checkpoints: tensors and plain values.
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                p.mul_(1.0 - lr * group["weight_decay"])
                p.sub_(momentum.lerp(p.grad, 1.0 - beta1).sign(), alpha=lr)
                momentum.lerp_(p.grad, 1.0 - beta2)


OPTIMIZERS["lion"] = LionConfig
