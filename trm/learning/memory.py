"""What is kept of a row from one supervision step to the next, beside its state.

A row that starts afresh remembers nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from trm.learning.halting_rules import HaltingRule
from trm.network.model import Latent, ModelConfig, Output
from trm.network.residual import residual

Memory = Mapping[str, Tensor]
"""By name, `[batch, ...]`: `recalled`, the last answers, newest first."""

_NOTHING = {"recalled": -1}
"""What a row has that remembers nothing: no token."""


def blank_memory(
    halting: HaltingRule, batch: int, seq_len: int, device: torch.device
) -> dict[str, Tensor]:
    """What training has to keep with a halting rule, of rows that remember nothing."""
    memory = {}
    if halting.recalls:
        shape = (batch, halting.recalls, seq_len)
        memory["recalled"] = torch.empty(shape, dtype=torch.int32, device=device)
    return forgotten(memory, torch.ones(batch, dtype=torch.bool, device=device))


def forgotten(memory: Memory, rows: Tensor) -> dict[str, Tensor]:
    """The memory in which the given rows (bool `[batch]`) remember nothing."""
    return {
        name: torch.where(rows.view(-1, *(1,) * (kept.ndim - 1)), _NOTHING[name], kept)
        for name, kept in memory.items()
    }


@torch.no_grad()
def remembered(memory: Memory, output: Output) -> dict[str, Tensor]:
    """The memory after a step that says `output`."""
    kept = dict(memory)
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
            self._memory = blank_memory(self._rule, batch, seq_len, device)
        self._steps += 1
        told = seen(self._rule, output, before, after, self._memory)
        self._memory = remembered(self._memory, output)
        had = torch.full((batch,), self._steps, dtype=torch.int32, device=device)
        return self._rule.stops(told, had, self._model)
