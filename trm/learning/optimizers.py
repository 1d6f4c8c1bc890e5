"""Optimisers by name, the sign-SGD of puzzle embeddings, and the learning-rate schedule.

>>> OPTIMIZERS["adamw"](lr=3e-4).lr_warmup_steps
2000
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from curricula.component import Component
from curricula.limits import MOST_RATE, MOST_STEPS
from trm.learning.adam_atan2 import AdamAtan2
from trm.learning.muon import Muon, Scaling
from trm.learning.schedule_free import ScheduleFreeAdamW
from trm.learning.sign_sgd import SignSGD
from trm.learning.uncompiled import AdamW
from trm.network.model import TRM

__all__ = [
    "OPTIMIZERS",
    "AdamAtan2",
    "AdamAtan2Config",
    "AdamWConfig",
    "MuonConfig",
    "OptimizerConfig",
    "OptimizerSet",
    "ScheduleFreeConfig",
    "SignSGD",
    "clip_gradients",
    "learning_rate_factor",
]


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

    @property
    def averages(self) -> bool:
        """Whether it keeps an average of the weights, which is what is evaluated."""
        return False

    def build(self, model: TRM) -> OptimizerSet:
        """The optimisers of a model: one for the puzzle embedding, one for everything else."""
        rest = [p for p in model.parameters() if p is not model.puzzle_emb]
        return OptimizerSet([self.build_main(rest), *self.build_puzzle(model)])

    def build_puzzle(self, model: TRM) -> list[torch.optim.Optimizer]:
        """The optimiser of the puzzle embedding, if there is one."""
        puzzle = model.puzzle_emb
        if puzzle is None:
            return []
        return [SignSGD([puzzle], self.puzzle_emb_lr, self.puzzle_emb_weight_decay)]

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


class MuonConfig(OptimizerConfig):
    """Muon for the matrices of the layers, AdamW for everything else.

    Jordan et al. 2024 (kellerjordan.github.io/posts/muon); embeddings and heads are AdamW's there
    too, and so are here vectors and convolutions. On small TRMs learning rates of 1e-2 and more
    have been seen to explode, clipped or not.

    Attributes:
        momentum: decay of the mean of the matrices' gradients.
        scaling: what an update of a matrix is multiplied by: `rms`, by which its elements are as
            large as AdamW's usually are (arXiv 2502.16982), or `shape`, as Jordan has it.
        adam_lr: learning rate of what AdamW steps; null is `lr`.
    """

    name: Literal["muon"] = "muon"
    momentum: float = Field(default=0.95, ge=0.0, lt=1.0)
    scaling: Scaling = "rms"
    adam_lr: float | None = Field(default=None, gt=0.0, le=MOST_RATE)

    def build(self, model: TRM) -> OptimizerSet:
        named = [(n, p) for n, p in model.named_parameters() if p is not model.puzzle_emb]
        matrices = [p for n, p in named if p.ndim == 2 and n.partition(".")[0] in _NETWORK]
        others = [p for _, p in named if all(p is not matrix for matrix in matrices)]
        adamw = AdamW(
            others,
            lr=self.lr if self.adam_lr is None else self.adam_lr,
            betas=(self.beta1, self.beta2),
            weight_decay=self.weight_decay,
            fused=True,
        )
        muon = Muon(matrices, self.lr, self.momentum, self.weight_decay, self.scaling)
        return OptimizerSet([muon, adamw, *self.build_puzzle(model)])


_NETWORK = ("layers", "H_layers", "gate", "H_gate")
"""Parts of a model whose matrices map states to states."""


class ScheduleFreeConfig(OptimizerConfig):
    """Schedule-free AdamW (arXiv 2405.15682): an average of the weights in place of a decay.

    That average is what is evaluated, whatever `train.ema` says; `lr_min_ratio` belongs at 1.

    Attributes:
        beta1: how far gradients are taken from the fast sequence towards its average.
    """

    name: Literal["schedule_free"] = "schedule_free"
    beta1: float = Field(default=0.9, gt=0.0, lt=1.0)

    @property
    def averages(self) -> bool:
        return True

    def build_main(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return ScheduleFreeAdamW(parameters, self.lr, (self.beta1, self.beta2), self.weight_decay)


OPTIMIZERS: dict[str, type[OptimizerConfig]] = {
    "adamw": AdamWConfig,
    "adam_atan2": AdamAtan2Config,
    "muon": MuonConfig,
    "schedule_free": ScheduleFreeConfig,
}


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
UNREAD: tuple[type[torch.optim.Optimizer], ...] = (
    *_ADAMW,
    AdamAtan2,
    SignSGD,
    Muon,
    ScheduleFreeAdamW,
)
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
