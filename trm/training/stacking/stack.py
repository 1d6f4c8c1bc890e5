"""The weights of several models of one shape as one tensor each, and their step as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from trm.learning.optimizers import OptimizerSet
from trm.network.model import TRM, Latent, Output


class Stack:
    """Models of one shape whose weights lie one behind the other; each model's are views of them.

    Args:
        models: at least one; on one device. Their parameters become views.

    Attributes:
        base: a model of that shape whose parameters and buffers are all models', `[models, ...]`:
            it holds them for optimisers and averages, which go element by element, and cannot be
            called.
    """

    def __init__(self, models: Sequence[TRM]) -> None:
        self.base = deepcopy(models[0])
        with torch.no_grad():
            for name, parameter in [*self.base.named_parameters()]:
                whole = torch.stack([model.get_parameter(name).detach() for model in models])
                _put(self.base, name, nn.Parameter(whole, parameter.requires_grad))
            for name, _ in [*self.base.named_buffers()]:
                _put(self.base, name, torch.stack([model.get_buffer(name) for model in models]))
        for index, model in enumerate(models):
            for name, parameter in model.named_parameters():
                parameter.data = self.base.get_parameter(name).data[index]

    def __call__(
        self, latent: Latent, inputs: Tensor, identifiers: Tensor, H_cycles: int, L_cycles: int
    ) -> tuple[Latent, Output]:
        """`TRM.forward` of every model on rows of its own: all tensors have the models in front."""

        def forward(
            weights: tuple[dict[str, Tensor], ...], z_H: Tensor, z_L: Tensor, x: Tensor, ids: Tensor
        ) -> tuple[Tensor, ...]:
            after, said = functional_call(
                self.base, weights, (Latent(z_H, z_L), x, ids),
                {"H_cycles": H_cycles, "L_cycles": L_cycles},
            )  # fmt: skip
            return after.z_H, after.z_L, said.logits, said.q_halt, said.q_continue

        parameters: dict[str, Tensor] = dict(self.base.named_parameters())
        weights = (parameters, dict(self.base.named_buffers()))
        with _attention_that_stacks(inputs.device):
            z_H, z_L, *said = vmap(forward)(weights, latent.z_H, latent.z_L, inputs, identifiers)
        return Latent(z_H, z_L), Output(*said)

    def reset(self, latent: Latent, rows: Tensor) -> Latent:
        """`TRM.reset` of every model: the rows `[models, batch]` begin afresh."""
        chosen = rows[:, :, None, None]

        def fresh(start: Tensor, z: Tensor) -> Tensor:
            return torch.where(chosen, start.to(z.dtype)[:, None, None], z)

        return Latent(fresh(self.base.H_init, latent.z_H), fresh(self.base.L_init, latent.z_L))


def _put(model: nn.Module, name: str, tensor: Tensor) -> None:
    *path, last = name.split(".")
    owner = model.get_submodule(".".join(path))
    if isinstance(tensor, nn.Parameter):
        owner.register_parameter(last, tensor)
    else:
        owner._buffers[last] = tensor


@contextmanager
def _attention_that_stacks(device: torch.device) -> Iterator[None]:
    """On a CPU the fused kernel of attention cannot be stacked; plain products can."""
    if device.type != "cpu":
        yield
        return
    with sdpa_kernel(SDPBackend.MATH):
        yield


def gradient_norms(parameters: Sequence[nn.Parameter], models: int) -> Tensor:
    """Each model's global gradient norm, `[models]`."""
    norms = [p.grad.flatten(1).norm(dim=1) for p in parameters if p.grad is not None]
    return torch.stack(norms).norm(dim=0) if norms else torch.zeros(models)


def scale_gradients(parameters: Sequence[nn.Parameter], factors: Tensor) -> None:
    """Multiply each model's gradients by a factor of its own, `[models]`."""
    for p in parameters:
        if p.grad is not None:
            p.grad.mul_(factors.view(-1, *(1 for _ in p.shape[1:])))


def gather_moments(whole: OptimizerSet, parts: Sequence[OptimizerSet]) -> None:
    """Give the optimisers of a stack the state of those of its models, if they have one."""
    for stacked, *alone in zip(whole.parts, *(one.parts for one in parts), strict=True):
        for target, *sources in zip(_parameters(stacked), *map(_parameters, alone), strict=True):
            states = [part.state[p] for part, p in zip(alone, sources, strict=True)]
            if all(states):
                stacked.state[target] = {
                    key: _joined([state[key] for state in states]) for key in states[0]
                }


def hand_out_moments(whole: OptimizerSet, parts: Sequence[OptimizerSet]) -> None:
    """Give the optimisers of each model their part of the stack's state, as views."""
    for stacked, *alone in zip(whole.parts, *(one.parts for one in parts), strict=True):
        for source, *targets in zip(_parameters(stacked), *map(_parameters, alone), strict=True):
            for index, (part, target) in enumerate(zip(alone, targets, strict=True)):
                if stacked.state[source]:
                    part.state[target] = {
                        key: value[index] if value.ndim else value.clone()
                        for key, value in stacked.state[source].items()
                    }


def _parameters(optimizer: torch.optim.Optimizer) -> list[Any]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _joined(values: Sequence[Tensor]) -> Tensor:
    # How many steps there were is the same for all of them.
    return torch.stack([*values]) if values[0].ndim else values[0].clone()
