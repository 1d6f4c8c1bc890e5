"""Depth and breadth as a table for a person."""

from __future__ import annotations

from collections.abc import Iterator

from search.analysis.thought.result import Thought, ThoughtPoint


def thought_text(found: Thought) -> str:
    """Every point a line, then the difficulties under the first selector."""
    return "\n".join([*_head(found), *_points(found), *_difficulties(found)])


def noise_text(noise: dict[str, float]) -> str:
    """
    >>> noise_text({"z_H": 0.0, "z_L": 0.2, "start": 0.0})
    'z_L 0.2'
    """
    return ", ".join(f"{name} {value:g}" for name, value in noise.items() if value) or "none"


def _head(found: Thought) -> Iterator[str]:
    whose = found.models[0] if len(found.models) == 1 else f"{len(found.models)} seeds"
    yield f"{found.examples:,} puzzles of {found.source}: {whose}"
    ends = f"halting by {found.halting}" if found.halting else "every rollout takes all its steps"
    yield (
        f"trained depth {found.trained_steps} steps, {found.step_flops:.3g} FLOPs a step; {ends}"
    )
    if any(point.breadth > 1 for point in found.points):
        yield f"noise of all rollouts but the first: {noise_text(found.noise)}; seed {found.seed}"


def _points(found: Thought) -> list[str]:
    first = found.picks[0]
    head = [
        "depth", "rollouts", "steps", "FLOPs", "pass@K", "any step", *found.picks,
        f"{found.confidence:.0%} of {first}", "gap",
    ]  # fmt: skip
    rows = [_row(point, found.picks) for point in found.points]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return ["  " + "  ".join(map(str.rjust, row, widths)) for row in (head, *rows)]


def _row(point: ThoughtPoint, picks: list[str]) -> list[str]:
    first = point.picked[picks[0]]
    return [
        f"{point.depth}x",
        str(point.breadth),
        f"{point.mean_steps:.4g}",
        f"{point.flops:.3g}",
        f"{point.passed.mean:.3f}",
        f"{point.passed_anywhere.mean:.3f}",
        *(f"{point.picked[name].mean:.3f}" for name in picks),
        f"{first.low:.3f} to {first.high:.3f}",
        f"{point.gaps[picks[0]]:.3f}",
    ]


def _difficulties(found: Thought) -> list[str]:
    levels = found.points[0].by_difficulty
    if not levels:
        return []
    first = found.picks[0]
    head = ["difficulty", "puzzles", *(f"{p.depth}x{p.breadth}" for p in found.points)]
    rows = [
        [
            level.difficulty,
            str(level.examples),
            *(f"{point.by_difficulty[index].picked[first]:.3f}" for point in found.points),
        ]
        for index, level in enumerate(levels)
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ["  " + "  ".join(map(str.rjust, row, widths)) for row in (head, *rows)]
    return [f"picked by {first}, by difficulty (depth x rollouts):", *lines]
