"""What a curriculum sets for one training step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Depth(NamedTuple):
    """Recursions of the answer in a supervision step, and of the latent in an H cycle.

    >>> Depth(H_cycles=3, L_cycles=6).L_cycles
    6
    """

    H_cycles: int
    L_cycles: int


class Slice(NamedTuple):
    """Part of the examples, ordered by difficulty: the easiest is at 0, the hardest at 1.

    `weight` is in proportion to the share of new examples that comes from [low, high).

    >>> Slice(0.0, 0.25).weight
    1.0
    """

    low: float
    high: float
    weight: float = 1.0


@dataclass(frozen=True)
class Stage:
    """The values in force for one training step.

    Attributes:
        H_cycles: recursions of the answer in one supervision step.
        L_cycles: recursions of the latent in one H cycle.
        supervision_steps: the step at which an example halts at the latest.
        supervision_weights: what the loss of supervision step t = 1, 2, ... counts; empty: all 1.
        last_step_only: only the supervision step at which an example halts has a loss.
        halt_weight: weight of the halting loss.
        exploration: chance, at each training step, that a row may not halt before a random step.
        latent_noise: standard deviation of the noise added to the carried state before a step.
        stochastic_depth: chance with which each H cycle but the last is left out of a training
            step.
        lr_factor: what the learning rate is multiplied by.
        difficulty: which examples come next, disjoint slices; empty: all alike.
        sources: each source's share of the new examples; empty: as the data has it.

    >>> Stage(H_cycles=3, L_cycles=6).depth
    Depth(H_cycles=3, L_cycles=6)
    """

    H_cycles: int
    L_cycles: int
    supervision_steps: int = 16
    supervision_weights: tuple[float, ...] = ()
    last_step_only: bool = False
    halt_weight: float = 0.5
    exploration: float = 0.1
    latent_noise: float = 0.0
    stochastic_depth: float = 0.0
    lr_factor: float = 1.0
    difficulty: tuple[Slice, ...] = ()
    sources: tuple[float, ...] = ()

    @property
    def depth(self) -> Depth:
        """H and L cycles, on which the cost of a training step depends."""
        return Depth(self.H_cycles, self.L_cycles)
