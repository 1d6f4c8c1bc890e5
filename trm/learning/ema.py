"""Exponential moving average of the weights, used for evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

NOT_AVERAGED = "puzzle_emb"


def decay_of(half_life: float, share: float) -> float:
    """What an average keeps over a share of a run, so that it keeps a half over `half_life`.

    >>> decay_of(0.05, 0.05), round(decay_of(0.05, 0.01) ** 5, 12)
    (0.5, 0.5)
    """
    return float(0.5 ** (share / half_life))


class EMA:
    """shadow = decay * shadow + (1 - decay) * weight after each step, from the initial weights on.

    Args:
        model: its parameters are averaged, except the puzzle embedding: it is sparse, most rows
            seldom change, and the reference does not average it either.
        decay: the share that is kept, as 0.999.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._shadow = {name: p.detach().clone() for name, p in _averaged(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module, sound: Tensor | None = None) -> None:
        """Take in the weights as they are now.

        Args:
            sound: 1.0, or 0.0 for a step that is not to count, on the weights' device; None: 1.
        """
        weights = [p.detach() for p in _averaged(model).values()]
        shadow = list(self._shadow.values())
        if sound is None:
            torch._foreach_lerp_(shadow, weights, 1.0 - self.decay)
            return
        away = list(torch._foreach_sub(weights, shadow))
        torch._foreach_mul_(away, sound * (1.0 - self.decay))
        torch._foreach_add_(shadow, away)

    @contextmanager
    def swapped(self, model: nn.Module) -> Iterator[None]:
        """The model has the averaged weights inside, its own again afterwards."""
        parameters = _averaged(model)
        live = {name: p.data for name, p in parameters.items()}
        try:
            for name, p in parameters.items():
                p.data = self._shadow[name]
            yield
        finally:
            for name, p in parameters.items():
                p.data = live[name]

    def show(self, averages: Mapping[str, Tensor]) -> None:
        """Have these tensors, which somebody else may go on changing, as the averaged weights."""
        assert averages.keys() == self._shadow.keys()
        self._shadow = dict(averages)

    def tensors(self) -> list[Tensor]:
        """The averaged weights, which `update` changes in place."""
        return list(self._shadow.values())

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights by parameter name."""
        return dict(self._shadow)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over averaged weights of the same model."""
        assert state.keys() == self._shadow.keys()
        for name, tensor in state.items():
            self._shadow[name].copy_(tensor)


def _averaged(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if name != NOT_AVERAGED}
