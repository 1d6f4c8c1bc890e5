"""Made-up evaluations of depth and breadth."""

from __future__ import annotations

import numpy as np

from search.analysis.thought.result import Thought, thought_point
from trm.thought.points import Point

N = 40
LEVELS = np.repeat(np.array([2, 3, 5, 9], np.float32), N // 4)


def thought_at(seed: int, steps: int = 4, breadth: int = 1) -> Point:
    """What a model comes to at one depth and breadth, on N puzzles."""
    rng = np.random.default_rng(seed)
    there = rng.random(N) < 0.8
    return Point(
        steps=steps,
        breadth=breadth,
        spent=rng.integers(1, steps * breadth + 1, N),
        passed=there & (rng.random(N) < 0.9),
        passed_anywhere=there,
        picked={"q": there & (rng.random(N) < 0.7), "best_q": there & (rng.random(N) < 0.8)},
    )


def thought(models: int = 1) -> Thought:
    """Depths 1, 4 and 16, and 8 rollouts, of so many seeds."""
    pairs = [(1, 1), (4, 1), (16, 1), (1, 8)]
    return Thought(
        models=[f"seed {model}" for model in range(models)],
        source="valid",
        examples=N,
        trained_steps=4,
        step_flops=1e6,
        noise={"z_H": 0.0, "z_L": 0.2, "start": 0.0},
        seed=3,
        halting="",
        picks=["best_q", "q"],
        confidence=0.9,
        points=[
            thought_point(
                [
                    thought_at(100 * model + 10 * depth + breadth, 4 * depth, breadth)
                    for model in range(models)
                ],
                depth,
                LEVELS,
                1e6,
            )
            for depth, breadth in pairs
        ],
    )
