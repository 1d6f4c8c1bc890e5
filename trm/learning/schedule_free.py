"""AdamW without a schedule: gradients at a point between a fast sequence and its average.

Defazio et al. 2024, "The Road Less Scheduled" (arXiv 2405.15682), algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from trm.learning.ema import EMA
from trm.learning.uncompiled import Uncompiled
from trm.network.float64 import widest

EPS = 1e-8


class ScheduleFreeAdamW(Uncompiled):
    """A model's parameters are y; z is what AdamW steps, x the average of z, by which to evaluate.

    With the gradient g at y = (1 - beta1) z + beta1 x, v the mean of its squares, and
    u = g / (sqrt(v / (1 - beta2^t)) + 1e-8) + wd y:

        z' = z - lr u;  x' = (1 - c) x + c z' with c = lr_t^2 / sum of lr_i^2 up to t

    As the authors' code (`schedulefree` 1.4.1) corrects v's bias, which the paper folds into lr.
    That code gives the same numbers while rates do not fall (where they do, it weighs by the
    highest rate so far), but counts on the host and rewrites the weights before and after each
    evaluation, so that a step cannot stay on the device. A learning rate may be a tensor; nothing
    changes then where `found_inf` is 1.
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
        found_inf = getattr(self, "found_inf", None)
        for group in self.param_groups:
            unread = isinstance(group["lr"], Tensor)
            sound = 1.0 - found_inf if unread and found_inf is not None else 1.0
            for p in group["params"]:
                if p.grad is None:
                    continue
                if not self.state[p]:
                    self.state[p] = {
                        "step": torch.zeros((), device=p.device),
                        "rates": torch.zeros((), device=p.device),
                        "z": p.detach().clone(),
                        "exp_avg_sq": torch.zeros_like(p),
                    }
                gradient = p.grad
                if unread:
                    gradient = torch.where(torch.as_tensor(sound) > 0, gradient, 0.0)
                self._update(p, gradient, group["lr"] * sound, sound, group)
        return loss

    def _update(
        self,
        y: nn.Parameter,
        gradient: Tensor,
        lr: float | Tensor,
        sound: float | Tensor,
        group: Mapping[str, Any],
    ) -> None:
        (beta1, beta2), state = group["betas"], self.state[y]
        second, z = state["exp_avg_sq"], state["z"]
        state["step"] += sound
        state["rates"] += lr * lr
        t, rates = widest(state["step"].clamp(min=1.0)), state["rates"]
        share = (lr * lr / rates.clamp(min=1e-30)).to(y.dtype)
        second.lerp_(gradient.square(), (1.0 - beta2) * sound)
        root = (second / (1.0 - beta2**t).to(y.dtype)).sqrt()
        change = -lr * (gradient / (root + EPS) + group["weight_decay"] * y)
        # beta1 x = y - (1 - beta1) z; y' - y is written so that a rate of 0 changes nothing.
        average = y - (1.0 - beta1) * z
        z.add_(change)
        y.add_((1.0 - beta1) * change + share * (beta1 * z - average))


class OwnAverage(EMA):
    """The x of a schedule-free optimiser, where a run would have an average of its weights.

    Args:
        model: its parameters are y, except the puzzle embedding, which has another optimiser.
        optimizer: of those parameters.
    """

    def __init__(self, model: nn.Module, optimizer: ScheduleFreeAdamW) -> None:
        super().__init__(model, 0.0)
        self._optimizer = optimizer
        self._model = model

    def update(self, model: nn.Module, sound: Tensor | None = None) -> None:
        """Nothing: it follows from what the optimiser holds."""

    @contextmanager
    def swapped(self, model: nn.Module) -> Iterator[None]:
        """The model has x inside, y again afterwards."""
        self._look()
        with super().swapped(model):
            yield

    def tensors(self) -> list[Tensor]:
        """None that `update` changes."""
        return []

    def state_dict(self) -> dict[str, Tensor]:
        """x by parameter name."""
        self._look()
        return super().state_dict()

    @torch.no_grad()
    def _look(self) -> None:
        for group in self._optimizer.param_groups:
            beta1 = group["betas"][0]
            for name, p in self._model.named_parameters():
                state = self._optimizer.state.get(p)
                if name in self._shadow:
                    z = state["z"] if state else p
                    self._shadow[name].copy_(p.lerp(z, 1.0 - 1.0 / beta1))
