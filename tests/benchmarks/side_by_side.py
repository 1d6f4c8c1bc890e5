"""Two things timed in turns in one process, so that a noisy machine is noisy for both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def compare(
    a: Callable[[], object], b: Callable[[], object], rounds: int, *, warm_up: bool = True
) -> tuple[float, float]:
    """Median seconds of `a` and of `b` over `rounds` turns each, after one uncounted turn."""
    if warm_up:
        a(), b()
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds):
        order = ((0, a), (1, b)) if turn % 2 == 0 else ((1, b), (0, a))
        for index, run in order:
            begun = time.perf_counter()
            run()
            seconds[index].append(time.perf_counter() - begun)
    return statistics.median(seconds[0]), statistics.median(seconds[1])
