"""Muon: momentum of matrices, with all of its singular values made about 1.

>>> import torch
>>> step = orthogonalised(torch.diag(torch.tensor([1.0, 100.0])))
>>> bool((step.diag() > 0.6).all())
True
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from trm.learning.uncompiled import Uncompiled

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial, steepest at 0, that five rounds of take singular values to 0.7-1.2."""
ROUNDS = 5

Scaling = Literal["rms", "shape"]


def orthogonalised(x: Tensor) -> Tensor:
    """About U V^T of a matrix x = U S V^T, by five Newton-Schulz rounds, in float32 at least.

    X = a X + (b A + c A^2) X with A = X X^T, from X = x / ||x|| (Jordan et al. 2024,
    kellerjordan.github.io/posts/muon). Torch's own `torch.optim.Muon` does it in bfloat16, which
    few CPUs have.
    """
    a, b, c = COEFFICIENTS
    wide = x if x.dtype == torch.float64 else x.float()
    tall = wide.shape[0] > wide.shape[1]
    found = wide.T if tall else wide
    found = found / found.norm().clamp(min=1e-7)
    for _ in range(ROUNDS):
        square = found @ found.T
        found = a * found + (b * square + c * square @ square) @ found
    straight: Tensor = found.T if tall else found
    return straight.to(x.dtype)


def update_scale(shape: torch.Size, scaling: Scaling) -> float:
    """What an orthogonalised update of a matrix `[out, in]` is multiplied by.

    `rms`: 0.2 sqrt(max(out, in)), by which its elements are as large as AdamW's usually are, so
    that both take one learning rate (Liu et al. 2025, arXiv 2502.16982, equation 4). `shape`:
    sqrt(max(1, out / in)), as Jordan has it.
    """
    rows, columns = shape
    if scaling == "rms":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1.0, rows / columns))


class Muon(Uncompiled):
    """p = (1 - lr wd) p - lr scale orthogonalised(g + mu (m - g)), m = mu m + (1 - mu) g.

    Nesterov's momentum, as `torch.optim.Muon` has it, which is not used: its rounds are in bfloat16
    (six steps of random matrices end 0.2 to 0.8 % apart), and it knows no `found_inf`. A learning
    rate may be a tensor, none of which the host reads; nothing changes then where `found_inf` is 1.

    Args:
        params: matrices.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        scaling: Scaling = "rms",
    ) -> None:
        settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "scaling": scaling})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every matrix that has a gradient."""
        loss = None if closure is None else closure()
        found_inf = getattr(self, "found_inf", None)
        for group in self.param_groups:
            unread = isinstance(group["lr"], Tensor)
            sound = 1.0 - found_inf if unread and found_inf is not None else 1.0
            lr, mu = group["lr"] * sound, group["momentum"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state, gradient = self.state[p], p.grad
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                if unread:
                    gradient = torch.where(torch.as_tensor(sound) > 0, gradient, 0.0)
                mean = state["momentum"]
                mean.lerp_(gradient, (1.0 - mu) * sound)
                step = orthogonalised(gradient.lerp(mean, mu))
                p.mul_(1.0 - lr * group["weight_decay"])
                p.sub_(step * (lr * update_scale(p.shape, group["scaling"])))
        return loss
