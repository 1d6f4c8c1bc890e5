"""Torch's optimisers for steps that nothing compiles, as `train.compile` leaves them.

Torch tells its compiler to pass over the methods of an optimiser, and imports that compiler when
the first of them is called: a second of CPU time at the start of every process that trains.

>>> AdamW([torch.nn.Parameter(torch.zeros(2))], lr=0.1).defaults["lr"]
0.1
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

# What torch wraps: of a release that wraps nothing, the same functions.
_add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
_load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
_state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
_zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)


class Uncompiled(torch.optim.Optimizer):
    """Torch's optimiser in all but that it knows of no compiler."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As torch's."""
        _add_param_group(self, param_group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's."""
        _load_state_dict(self, state_dict)

    def state_dict(self) -> dict[str, Any]:
        """As torch's."""
        return dict(_state_dict(self))

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As torch's."""
        _zero_grad(self, set_to_none)


class AdamW(Uncompiled, torch.optim.AdamW):
    """Torch's AdamW, bit for bit."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """As torch's."""
        return _adamw_step(self, closure)


_adamw_step: Callable[..., float | None] = inspect.unwrap(torch.optim.AdamW.step)
