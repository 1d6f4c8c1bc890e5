"""What a curriculum may set: bounds of every value of a stage, checked at each training step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from curricula.stage import Slice, Stage


def require_stage(stage: Stage, full: Stage, sources: int) -> None:
    """Every value of a stage within its bounds, none deeper or longer than `full`.

    Args:
        sources: how many the task has.

    Raises:
        ValueError: names the part of the curriculum, what it gave and what it may give.
    """
    require_count("depth: H_cycles", stage.H_cycles, full.H_cycles)
    require_count("depth: L_cycles", stage.L_cycles, full.L_cycles)
    require_count("supervision", stage.supervision_steps, full.supervision_steps)
    require_weights(stage.supervision_weights, stage.supervision_steps)
    require_slices(stage.difficulty)
    require_shares(stage.sources, sources)
    for part in ("halt_weight", "latent_noise", "lr_factor"):
        value = getattr(stage, part)
        _require(_is_number(value) and 0.0 <= value < math.inf, part, value, "0 or more")
    for part in ("exploration", "stochastic_depth"):
        chance = getattr(stage, part)
        _require(_is_number(chance) and 0.0 <= chance <= 1.0, part, chance, "from 0 to 1")


def require_count(part: str, value: Any, most: int) -> None:
    """A whole number from 1 to `most`."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    _require(whole and 1 <= value <= most, part, value, f"a whole number from 1 to {most}")


def require_weights(weights: Sequence[float], steps: int) -> None:
    """One finite, non-negative weight for each of `steps`, not all 0; or none at all."""
    holds = not weights or (
        len(weights) == steps
        and all(_is_number(weight) and 0.0 <= weight < math.inf for weight in weights)
        and sum(weights) > 0.0
    )
    _require(
        holds, "supervision_weights", weights,
        f"empty, or {steps} numbers of 0 or more, not all of them 0",
    )  # fmt: skip


def require_slices(slices: Sequence[Slice]) -> None:
    """Disjoint, in order, inside [0, 1], not empty; non-negative weights with a positive sum."""
    holds = not slices or (
        all(isinstance(part, Slice) and 0.0 <= part.low < part.high <= 1.0 for part in slices)
        and all(0.0 <= part.weight < math.inf for part in slices)
        and all(one.high <= other.low for one, other in pairwise(slices))
        and sum(part.weight for part in slices) > 0.0
    )
    _require(
        holds, "difficulty", slices,
        "empty, or slices of [0, 1] in order and apart, whose weights are not all 0",
    )  # fmt: skip


def require_shares(shares: Sequence[float], count: int) -> None:
    """One non-negative share for each of `count` sources, 1 in all; or none at all."""
    holds = not shares or (
        len(shares) == count and min(shares) >= 0.0 and abs(sum(shares) - 1.0) < 1e-9
    )
    _require(holds, "sources", shares, f"empty, or {count} shares that add up to 1")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _require(holds: bool, part: str, value: Any, wanted: str) -> None:
    if not holds:
        raise ValueError(f"{part} gives {value}: must be {wanted}")
