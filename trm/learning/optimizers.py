"""Optimisers by name, the sign-SGD of puzzle embeddings, and the learning-rate schedule.

>>> OPTIMIZERS["adamw"](lr=3e-4).lr_warmup_steps
2000
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from curricula.component import Component
from curricula.limits import MOST_RATE, MOST_STEPS
from trm.learning.uncompiled import AdamW, Uncompiled
from trm.network.float64 import widest
from trm.network.model import TRM


class OptimizerConfig(Component):
    """The `optimizer` section, in the reference's names; subclasses fix `name`.

    Attributes:
        lr: learning rate after the warm-up.
        lr_min_ratio: what the learning rate falls to by a cosine, as a share of itself; 1.0
            keeps it constant.
        lr_warmup_steps: steps over which the learning rate rises.
        beta1: decay of the mean of the gradients.
        beta2: decay of the mean of their squares.
        weight_decay: share of a weight, times the learning rate, that each step takes away.
        puzzle_emb_lr: learning rate of the puzzle embedding, which has an optimiser of its own.
        puzzle_emb_weight_decay: its weight decay.
        grad_clip: limit on the global gradient norm; null is none.

    >>> class PlainSGD(OptimizerConfig):
    ...     name: Literal["plain_sgd"] = "plain_sgd"
    ...
    ...     def build_main(self, parameters):
    ...         return torch.optim.SGD(parameters, self.lr)
    >>> PlainSGD(lr=0.1).build_main([nn.Parameter(torch.zeros(2))]).defaults["lr"]
    0.1
    """

    name: str
    lr: float = Field(default=1e-4, gt=0.0, le=MOST_RATE)
    lr_min_ratio: float = Field(default=1.0, ge=0.0, le=1.0)
    lr_warmup_steps: int = Field(default=2000, ge=0, le=MOST_STEPS)
    beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    beta2: float = Field(default=0.95, ge=0.0, lt=1.0)
    weight_decay: float = Field(default=1.0, ge=0.0, le=MOST_RATE)
    puzzle_emb_lr: float = Field(default=1e-4, ge=0.0, le=MOST_RATE)
    puzzle_emb_weight_decay: float = Field(default=1.0, ge=0.0, le=MOST_RATE)
    grad_clip: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)

    def build(self, model: TRM) -> OptimizerSet:
        """The optimisers of a model: one for the puzzle embedding, one for everything else."""
        puzzle = model.puzzle_emb
        rest = [p for p in model.parameters() if p is not puzzle]
        parts: list[torch.optim.Optimizer] = [self.build_main(rest)]
        if puzzle is not None:
            parts.append(SignSGD([puzzle], self.puzzle_emb_lr, self.puzzle_emb_weight_decay))
        return OptimizerSet(parts)

    def build_main(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of everything but the puzzle embedding."""
        raise NotImplementedError(self.name)


class AdamWConfig(OptimizerConfig):
    """AdamW with decoupled weight decay (arXiv 1711.05101)."""

    name: Literal["adamw"] = "adamw"

    def build_main(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return AdamW(
            parameters,
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            weight_decay=self.weight_decay,
            fused=True,
        )


class AdamAtan2Config(OptimizerConfig):
    """Adam with atan2 in place of the division, as the reference uses it."""

    name: Literal["adam_atan2"] = "adam_atan2"

    def build_main(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return AdamAtan2(parameters, self.lr, (self.beta1, self.beta2), self.weight_decay)


OPTIMIZERS: dict[str, type[OptimizerConfig]] = {
    "adamw": AdamWConfig,
    "adam_atan2": AdamAtan2Config,
}


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


class OptimizerSet:
    """Several optimisers that step together, each with a learning rate of its own."""

    def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
        self.parts = parts
        self._full = [[group["lr"] for group in part.param_groups] for part in parts]

    def set_factor(self, factor: float) -> None:
        """Set every learning rate to `factor` times its full value."""
        for part, full in zip(self.parts, self._full, strict=True):
            for group, lr in zip(part.param_groups, full, strict=True):
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(lr * factor)
                else:
                    group["lr"] = lr * factor

    def hold_rates(self, device: torch.device) -> bool:
        """Keep learning rates on the device from now on, so that a step has none of the host's.

        Returns:
            Whether every part can; if not, as with a plug-in's optimiser, nothing is changed.
        """
        if any(type(part) not in UNREAD for part in self.parts):
            return False
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = torch.tensor(float(group["lr"]), device=device)
        return True

    def tensors(self) -> list[Tensor]:
        """The parts' states, which `step` changes in place."""
        states = [state for part in self.parts for state in part.state.values()]
        return [value for state in states for value in state.values() if isinstance(value, Tensor)]

    def step(self, found_inf: Tensor | None = None) -> None:
        """One update of everything.

        Args:
            found_inf: with rates on the device: 1.0 there where nothing is to change, else 0.0.
        """
        for part in self.parts:
            if found_inf is not None and type(part) in _ADAMW:
                _begin(part)
                _stepped(part, found_inf)
                continue
            if found_inf is not None:
                part.found_inf = found_inf  # type: ignore[attr-defined]
                part.step()
                continue
            if not (type(part) in _ADAMW and _stepped(part)):
                part.step()

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for part in self.parts:
            for group in part.param_groups:
                for p in group["params"]:
                    p.grad = None

    def state_dict(self) -> dict[str, Any]:
        """The parts' states by position."""
        states = {str(index): part.state_dict() for index, part in enumerate(self.parts)}
        for state in states.values():
            for group in state["param_groups"]:
                group["lr"] = float(group["lr"])
        return states

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        for index, part in enumerate(self.parts):
            part.load_state_dict(state[str(index)])


def _begin(optimizer: torch.optim.Optimizer) -> None:
    """The states that its first step makes, on the weights' device whichever that is."""
    for group in optimizer.param_groups:
        for p in group["params"]:
            if p.grad is not None and not optimizer.state[p]:
                optimizer.state[p] = {
                    "step": torch.zeros((), device=p.device),
                    "exp_avg": torch.zeros_like(p),
                    "exp_avg_sq": torch.zeros_like(p),
                }


@torch.no_grad()
def _stepped(optimizer: torch.optim.Optimizer, found_inf: Tensor | None = None) -> bool:
    """What `optimizer.step()` computes, without what that does besides; False if it must do it.

    In a small model the hooks, profiler marks and checks of a step cost more than its numbers.

    Args:
        found_inf: as in `OptimizerSet.step`; with it there is nothing that `step()` must do.
    """
    calls = []
    for group in optimizer.param_groups:
        params = [p for p in group["params"] if p.grad is not None]
        states = [optimizer.state[p] for p in params]
        plain = found_inf is None
        if plain and (not all(states) or not group["fused"] or any(p.is_cuda for p in params)):
            return False
        calls.append((group, params, states))
    for group, params, states in calls:
        steps = [state["step"] for state in states]
        if not steps:
            continue
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            params,
            [p.grad for p in params],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            steps,
            amsgrad=False,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
            found_inf=found_inf,
        )
        if found_inf is not None:
            torch._foreach_sub_(steps, [found_inf] * len(steps))
    return True


_ADAMW: tuple[type[torch.optim.Optimizer], ...] = (AdamW, torch.optim.AdamW)
UNREAD: tuple[type[torch.optim.Optimizer], ...] = (*_ADAMW, AdamAtan2, SignSGD)
"""Optimisers that take a learning rate on their weights' device, and `found_inf`."""


def clip_gradients(
    parameters: Iterable[nn.Parameter], limit: float | None, *, unread: bool = False
) -> Tensor:
    """Scale gradients to a global norm of at most `limit`, if any; returns the norm before.

    Args:
        unread: ask nothing of the host; rows of a sparse gradient are then as many as the batch
            has, with the sum of those that occur twice in the first place and 0 in the others.
    """
    gradients = []
    for p in parameters:
        if unread and p.grad is not None and p.grad.is_sparse:
            values = _merged(p.grad._indices()[0], p.grad._values())
            p.grad = torch.sparse_coo_tensor(
                p.grad._indices(), values, p.grad.shape, check_invariants=False
            )
            gradients.append(p.grad._values())
        elif p.grad is not None and p.grad.is_sparse:
            # Rows that occur twice in the batch are one row of the gradient.
            p.grad = p.grad.coalesce()
            gradients.append(p.grad.values())
        elif p.grad is not None:
            gradients.append(p.grad)
    norm = torch.nn.utils.get_total_norm(gradients)
    if limit is not None:
        scale = torch.clamp(limit / (norm + 1e-6), max=1.0)  # as torch's clip_grads_with_norm_
        torch._foreach_mul_(gradients, scale)
    return norm


def _merged(rows: Tensor, values: Tensor) -> Tensor:
    """`values` `[n, dim]` with the sum of equal rows `[n]` in their first place, 0 in the others.

    As many products as n squared: a batch's rows, not the table's.
    """
    same = rows[:, None] == rows[None, :]
    first = same.float().argmax(dim=1) == torch.arange(len(rows), device=rows.device)
    return (same & first[:, None]).to(values.dtype) @ values


def learning_rate_factor(
    config: OptimizerConfig, step: int, progress: float, warmup_progress: float = 0.0
) -> float:
    """Linear warm-up over steps, then half a cosine from 1 to `lr_min_ratio` over the rest.

    The same as the reference's schedule where every step costs the same compute.

    Args:
        step: the number of this optimiser step, from 1.
        progress: share of the compute budget that is spent once this step is done.
        warmup_progress: that share at the last step of the warm-up.
    """
    if step < config.lr_warmup_steps:
        return step / config.lr_warmup_steps
    if config.lr_min_ratio == 1.0:
        return 1.0
    share = (progress - warmup_progress) / max(1.0 - warmup_progress, 1e-12)
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(max(share, 0.0), 1.0)))
    return config.lr_min_ratio + (1.0 - config.lr_min_ratio) * cosine
