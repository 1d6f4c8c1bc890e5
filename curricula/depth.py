"""Depth curricula: how many H and L cycles a supervision step has, by share of the compute budget.

Staged growth of recursion depth follows CGAR (arXiv 2511.08653, section 3): shallow first, full
depth last, the switch points fixed shares of the run.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from curricula.stage import Stage


@dataclass(frozen=True)
class DepthStage:
    """From the share `at` of the compute budget on, train with at most this depth.

    None is the model's own.
    """

    at: float
    H_cycles: int | None = None
    L_cycles: int | None = None


@dataclass(frozen=True)
class Constant:
    """Full depth all the time."""

    def at(self, progress: float, full: Stage) -> Stage:
        """The stage at `progress` (a share of the compute budget, in [0, 1])."""
        return full


@dataclass(frozen=True)
class Stages:
    """Depth that changes at fixed shares of the compute budget.

    A stage deeper than the model's own depth is cut to it, so that one list of stages can serve
    a search over depth.

    >>> growth = Stages([DepthStage(0.0, 1, 1), DepthStage(0.3, 2, 1), DepthStage(0.6)])
    >>> growth.at(0.5, Stage(H_cycles=2, L_cycles=2))
    Stage(H_cycles=2, L_cycles=1)
    """

    stages: Sequence[DepthStage]

    def __post_init__(self) -> None:
        shares = [stage.at for stage in self.stages]
        if not shares or shares[0] != 0.0:
            raise ValueError("stages: the first stage must start at 0.0")
        if any(a >= b for a, b in pairwise(shares)) or shares[-1] >= 1.0:
            raise ValueError(f"stages: {shares} must rise and stay below 1.0")
        depths = [depth for s in self.stages for depth in (s.H_cycles, s.L_cycles)]
        if any(depth is not None and depth < 1 for depth in depths):
            raise ValueError("stages: H_cycles and L_cycles must be at least 1")

    def at(self, progress: float, full: Stage) -> Stage:
        """The stage at `progress` (a share of the compute budget, in [0, 1])."""
        index = bisect_right([stage.at for stage in self.stages], progress) - 1
        stage = self.stages[max(index, 0)]
        return Stage(
            full.H_cycles if stage.H_cycles is None else min(stage.H_cycles, full.H_cycles),
            full.L_cycles if stage.L_cycles is None else min(stage.L_cycles, full.L_cycles),
        )


DepthSchedule = Constant | Stages
