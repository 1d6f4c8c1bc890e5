"""Adaptive computation: who halts, who goes on, and which rows of the batch start afresh.

Reference: the ACT wrapper of SamsungSAILMontreal/TinyRecursiveModels; the continue head follows
the Q-learning targets of HRM (arXiv 2506.21734, section 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trm.learning.halting_rules import (
    HALTING_RULES,
    THRESHOLD,
    AnyHalting,
    HaltingConfig,
    HaltingRule,
    logit_threshold,
)
from trm.learning.memory import forgotten
from trm.network.model import TRM, Latent, ModelConfig, Output
from trm.network.noise import Noise
from trm.ranks import OwnRows
from trm.tasks.base import IGNORE

__all__ = [
    "HALTING_RULES",
    "THRESHOLD",
    "AnyHalting",
    "Carry",
    "HaltingConfig",
    "HaltingRule",
    "begin",
    "continue_target",
    "halt",
    "logit_threshold",
    "refill",
    "wants_to_halt",
]


@dataclass
class Carry:
    """The batch between two supervision steps.

    Attributes:
        latent: the recursion's state.
        steps: supervision steps that each row has had, int32 `[batch]`.
        halted: rows to be replaced before the next step, bool `[batch]`.
        inputs: tokens `[batch, seq_len]`.
        labels: tokens `[batch, seq_len]`.
        puzzle_identifiers: `[batch]`.
        memory: what else is kept of each row, see `trm.learning.memory`.
    """

    latent: Latent
    steps: Tensor
    halted: Tensor
    inputs: Tensor
    labels: Tensor
    puzzle_identifiers: Tensor
    memory: dict[str, Tensor] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """Its parts by name, for a checkpoint."""
        return {
            "carry/z_H": self.latent.z_H,
            "carry/z_L": self.latent.z_L,
            "carry/steps": self.steps,
            "carry/halted": self.halted,
            "carry/inputs": self.inputs,
            "carry/labels": self.labels,
            "carry/puzzle_identifiers": self.puzzle_identifiers,
            **{f"{_MEMORY}{name}": kept for name, kept in self.memory.items()},
        }

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> Carry:
        """The batch that `tensors` told of."""
        return cls(
            latent=Latent(tensors["carry/z_H"], tensors["carry/z_L"]),
            steps=tensors["carry/steps"],
            halted=tensors["carry/halted"],
            inputs=tensors["carry/inputs"],
            labels=tensors["carry/labels"],
            puzzle_identifiers=tensors["carry/puzzle_identifiers"],
            memory={
                name.removeprefix(_MEMORY): kept
                for name, kept in tensors.items()
                if name.startswith(_MEMORY)
            },
        )


_MEMORY = "carry/memory/"


def begin(
    model: TRM,
    batch_size: int,
    seq_len: int,
    device: torch.device,
    memory: dict[str, Tensor] | None = None,
) -> Carry:
    """An empty batch: every row is halted, so the first `refill` fills them all.

    Args:
        memory: from `blank_memory`; None keeps nothing.
    """

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(*shape, dtype=torch.int32, device=device)

    fresh = model.fresh_latent(batch_size)
    return Carry(
        latent=Latent(fresh.z_H.detach(), fresh.z_L.detach()),
        steps=zeros(batch_size),
        halted=torch.ones(batch_size, dtype=torch.bool, device=device),
        inputs=zeros(batch_size, seq_len),
        labels=zeros(batch_size, seq_len),
        puzzle_identifiers=zeros(batch_size),
        memory=memory or {},
    )


def refill(
    model: TRM,
    carry: Carry,
    inputs: Tensor,
    labels: Tensor,
    puzzle_identifiers: Tensor,
    noise: Noise | None = None,
    drafts: Tensor | None = None,
) -> Carry:
    """Put fresh examples into the halted rows, in order, and reset those rows.

    Args:
        inputs: as many rows as are halted, `[n, seq_len]`.
        labels: likewise.
        puzzle_identifiers: `[n]`.
        noise: what random initial states are drawn from, and what the memory draws.
        drafts: what they begin from, `[n, seq_len]`, see `TRM.drafted`; None: nothing.
    """
    rows = carry.halted

    def placed(old: Tensor, new: Tensor) -> Tensor:
        merged = old.clone()
        merged[rows] = new.to(old.dtype)
        return merged

    latent, memory = model.reset(carry.latent, rows, noise), forgotten(carry.memory, rows, noise)
    if drafts is not None:
        begun = placed(torch.full_like(carry.labels, IGNORE), drafts)
        latent = model.drafted(latent, begun)
        if "draft" in memory:
            memory["draft"] = placed(memory["draft"], drafts)
    return Carry(
        latent=latent,
        steps=torch.where(rows, 0, carry.steps),
        halted=torch.zeros_like(rows),
        inputs=placed(carry.inputs, inputs),
        labels=placed(carry.labels, labels),
        puzzle_identifiers=placed(carry.puzzle_identifiers, puzzle_identifiers),
        memory=memory,
    )


@torch.no_grad()
def halt(
    output: Output,
    steps: Tensor,
    *,
    config: ModelConfig,
    halting: HaltingRule,
    generator: torch.Generator,
    max_steps: int | None = None,
    exploration: float | None = None,
    place: OwnRows | None = None,
) -> Tensor:
    """Which rows halt after a training step, bool `[batch]`.

    A row halts at the last step, or when the model says so; under exploration (drawn anew for each
    row and step, with `halt_exploration_prob`) not before a random step from 2 to the last.

    Args:
        steps: supervision steps that each row has had, this one included, `[batch]`.
        generator: a CPU generator.
        max_steps: the last step, instead of the config's, as a curriculum has it.
        exploration: the chance of it, likewise.
        place: where in a larger batch these rows stand: draws are made for all of that.
    """
    limit = config.halt_max_steps if max_steps is None else max_steps
    chance = config.halt_exploration_prob if exploration is None else exploration
    rows, own = (len(steps), slice(None)) if place is None else (place.of, place.own)
    least = draw_least(rows, limit, chance, generator)
    return halt_from(
        output, steps, config, halting, limit=limit, least=None if least is None else least[own]
    )


def draw_least(rows: int, limit: int, chance: float, generator: torch.Generator) -> Tensor | None:
    """The step before which each row may not halt early, on the CPU, `[rows]`; 0: any.

    None where nothing is to be drawn: with a `limit` of 1 every row halts.
    """
    if limit == 1:
        return None
    explores = torch.rand(rows, generator=generator) < chance
    return torch.randint(2, limit + 1, (rows,), generator=generator) * explores


@torch.no_grad()
def halt_from(
    output: Output,
    steps: Tensor,
    config: ModelConfig,
    halting: HaltingRule,
    *,
    limit: int | Tensor,
    least: Tensor | None,
) -> Tensor:
    """`halt` with what it draws: asks nothing of the host, where `limit` is a tensor too."""
    last = steps >= limit
    if least is None:
        return last
    wants = halting.wants_to_halt(output, steps, config)
    return last | (wants & (steps >= least.to(steps.device)))


@torch.no_grad()
def wants_to_halt(
    output: Output, steps: Tensor, config: ModelConfig, halting: HaltingRule
) -> Tensor:
    """Rows at which the model would stop, bool `[batch]`."""
    return halting.wants_to_halt(output, steps, config)


@torch.no_grad()
def continue_target(following: Output, last: Tensor) -> Tensor:
    """Target of the continue head `[batch]`: the next step's better chance; halting's at the end.

    sigmoid(q_halt') on the last step, else sigmoid(max(q_halt', q_continue')).

    Args:
        following: the output of one more step from the new state.
        last: rows at their last step, bool `[batch]`.
    """
    better = torch.maximum(following.q_halt, following.q_continue)
    return torch.where(last, following.q_halt, better).sigmoid()
