"""What is kept of a row from one supervision step to the next, beside its state.

A row that starts afresh remembers nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from trm.learning.halting_rules import HaltingRule
from trm.learning.losses import LossConfig
from trm.learning.probabilities import probabilities
from trm.network.model import Latent, ModelConfig, Output
from trm.network.noise import Noise
from trm.network.residual import residual
from trm.tasks.base import IGNORE

Memory = Mapping[str, Tensor]
"""By name, `[batch, ...]`: `recalled`, the last answers, newest first; `q`, the last halting logit;
`probabilities`, the last ones; `chances` and `tokens`, what wrong targets are drawn by; `draft`,
what the row began from."""

_NOTHING = {
    "recalled": -1, "q": -math.inf, "probabilities": 0.0, "chances": 0.0, "tokens": 0.0,
    "draft": IGNORE,
}  # fmt: skip
"""What a row has that remembers nothing: no token, no logit."""
_WHOLE = ("recalled", "draft")
"""What is tokens."""
_DRAWN = ("chances", "tokens")
"""What a row that begins draws."""


def blank_memory(
    halting: HaltingRule,
    loss: LossConfig,
    batch: int,
    seq_len: int,
    vocab_size: int,
    device: torch.device,
) -> dict[str, Tensor]:
    """What training has to keep with a halting rule and a loss, of rows that remember nothing."""
    shapes: dict[str, tuple[int, ...]] = {}
    if halting.recalls:
        shapes["recalled"] = (batch, halting.recalls, seq_len)
    if loss.monotonic_weight:
        shapes["q"] = (batch,)
    if loss.consistency_weight:
        shapes["probabilities"] = (batch, seq_len, vocab_size)
    if loss.target_corruption:
        shapes |= dict.fromkeys(_DRAWN, (batch, seq_len))
    if loss.undoes_drafts:
        shapes["draft"] = (batch, seq_len)
    return {
        name: torch.full(
            shape, _NOTHING[name], device=device,
            dtype=torch.int32 if name in _WHOLE else torch.float32,
        )
        for name, shape in shapes.items()
    }  # fmt: skip


def draws(memory: Memory) -> bool:
    """Whether rows that begin draw something."""
    return any(name in memory for name in _DRAWN)


def forgotten(memory: Memory, rows: Tensor, noise: Noise | None) -> dict[str, Tensor]:
    """The memory in which the given rows (bool `[batch]`) remember nothing.

    Args:
        noise: what they draw from; needed where the memory `draws`.
    """
    kept = {}
    for name, before in memory.items():
        blank: Tensor | float = _NOTHING[name]
        if name in _DRAWN:
            assert noise is not None
            blank = noise.uniform(before)
        kept[name] = torch.where(rows.view(-1, *(1,) * (before.ndim - 1)), blank, before)
    return kept


@torch.no_grad()
def remembered(memory: Memory, output: Output, loss: LossConfig) -> dict[str, Tensor]:
    """The memory after a step that says `output`."""
    kept = dict(memory)
    if "q" in kept:
        kept["q"] = output.q_halt.detach().float()
    if "probabilities" in kept:
        kept["probabilities"] = probabilities(output.logits, loss.loss_type)
    if (answers := kept.get("recalled")) is not None:
        newest = output.logits.argmax(dim=-1).to(answers.dtype)
        kept["recalled"] = torch.cat((newest[:, None], answers[:, :-1]), dim=1)
    return kept


@torch.no_grad()
def seen(
    rule: HaltingRule, output: Output, before: Latent, after: Latent, memory: Memory
) -> Output:
    """The output with what a rule looks at beside it.

    Args:
        before: the state before the step, as it was carried.
        after: the state after it.
        memory: from before the step.
    """
    if not rule.watches and not rule.recalls:
        return output
    moved = None
    if rule.watches:
        pairs = ((before.z_H, after.z_H), (before.z_L, after.z_L))
        moved = torch.stack([residual(*pair) for pair in pairs], dim=1)
    recalled = memory["recalled"] if rule.recalls else None
    return replace(output, residual=moved, recalled=recalled)


_PLAIN = LossConfig()
"""A loss that remembers nothing: an evaluation has none."""


class Onlooker:
    """Asks a rule where rows that all begin together would stop, one step after another.

    Args:
        rule: the rule.
        model: the model that thinks.
    """

    def __init__(self, rule: HaltingRule, model: ModelConfig) -> None:
        self._rule = rule
        self._model = model
        self._steps = 0
        self._memory: dict[str, Tensor] | None = None

    def stops(self, before: Latent, after: Latent, output: Output) -> Tensor:
        """Rows that would stop after this step, bool `[batch]`; to be called after each.

        Args:
            before: the state before the step, without noise that is added for it.
            after: the state after it.
        """
        batch, seq_len = output.logits.shape[:2]
        device = output.logits.device
        if self._memory is None:
            self._memory = blank_memory(self._rule, _PLAIN, batch, seq_len, 0, device)
        self._steps += 1
        told = seen(self._rule, output, before, after, self._memory)
        self._memory = remembered(self._memory, output, _PLAIN)
        had = torch.full((batch,), self._steps, dtype=torch.int32, device=device)
        return self._rule.stops(told, had, self._model)
