"""What a depth and a breadth are worth: what passes, what is picked, and the steps it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trm.thought.picks import PICKS, evidence
from trm.thought.rollouts import Rollouts


@dataclass(frozen=True)
class Point:
    """One depth with one breadth, over n puzzles.

    Attributes:
        steps: supervision steps of a rollout at most.
        breadth: rollouts.
        spent: supervision steps that they took together, `[n]`; fewer where a rule halts them.
        passed: whether any rollout's last answer is right, `[n]` (pass@K).
        passed_anywhere: whether any rollout's answer after any step is, `[n]`.
        picked: by selector, whether the answer that it picks is right, `[n]`.
    """

    steps: int
    breadth: int
    spent: NDArray[np.int64]
    passed: NDArray[np.bool_]
    passed_anywhere: NDArray[np.bool_]
    picked: Mapping[str, NDArray[np.bool_]]

    def gap(self, pick: str) -> float:
        """The share of puzzles on which a selector loses what was there for it to pick."""
        there = self.passed_anywhere if PICKS[pick].anywhere else self.passed
        return float(there.mean() - self.picked[pick].mean())


def point(
    recording: Rollouts,
    steps: int,
    breadth: int,
    *,
    halting: bool = False,
    picks: Sequence[str] = tuple(PICKS),
) -> Point:
    """What the first `breadth` rollouts of a recording come to within `steps` steps each.

    Args:
        halting: whether the recording's rule ends a rollout where it stops.

    Raises:
        ValueError: the recording is not that deep or wide.
    """
    seen = evidence(recording, steps, breadth, halting=halting)
    puzzles = np.arange(recording.puzzles)
    picked = {}
    for name in picks:
        rollout, step = PICKS[name].choose(seen)
        picked[name] = seen.right[rollout, step, puzzles]
    return Point(
        steps=steps,
        breadth=breadth,
        spent=(seen.ends + 1).sum(axis=0),
        passed=np.asarray(seen.at_end(seen.right).any(axis=0), dtype=np.bool_),
        passed_anywhere=np.asarray((seen.right & seen.reached).any(axis=(0, 1)), dtype=np.bool_),
        picked=picked,
    )


def rollout_steps(points: Sequence[tuple[int, int]]) -> list[int]:
    """The steps of each rollout with which a recording holds all these (steps, breadth).

    >>> rollout_steps([(4, 1), (16, 1), (4, 3)])
    [16, 4, 4]
    """
    widest = max(breadth for _, breadth in points)
    return [max(steps for steps, breadth in points if breadth > index) for index in range(widest)]


def axes(
    depths: Sequence[int], breadths: Sequence[int], *, grid: bool = False
) -> list[tuple[int, int]]:
    """The (depth, breadth) to look at: each depth at the least breadth, each breadth at the least
    depth; with `grid` every pair.

    >>> axes([1, 4], [1, 8])
    [(1, 1), (4, 1), (1, 8)]
    """
    if grid:
        return [(depth, breadth) for breadth in sorted(breadths) for depth in sorted(depths)]
    shallow, narrow = min(depths), min(breadths)
    deeper = [(depth, narrow) for depth in sorted(depths)]
    return [*deeper, *((shallow, breadth) for breadth in sorted(breadths) if breadth > narrow)]
