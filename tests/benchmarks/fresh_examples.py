"""What the host pays for fresh examples: drawn, augmented, and packed for a device's pool.

CPU microseconds an example, medians of turns, at so many at once: an eighth of the preset's batch,
as where rows think for eight steps on average, and the whole of it, the most that a step takes.
Where a device computes, the host does this while the last steps run there (`trm.training.steps`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np

from tests.benchmarks.step import preset
from trm.config import experiment_from
from trm.files.run_folder import cache_folder
from trm.tasks.base import Task
from trm.training.data import ExampleStream
from trm.training.steps.pool import packed

PRESETS = (
    "arrows4", "sudoku4", "sudoku9", "maze", "sort", "graph", "queens", "colouring", "arithmetic",
)  # fmt: skip
TURNS, EACH = 9, 2048


def main() -> None:
    print("| CPU us an example | at once | drawn and augmented | of it augmented | packed |")
    print("|---|---|---|---|---|")
    for name in PRESETS:
        tree = preset(name)
        if name == "arrows4":
            tree["task"] = {**tree["task"], "augment": True}
        config = experiment_from(tree)
        task = config.task.build(cache_folder())
        assert task.augments, name
        for count in sorted({config.train.batch_size // 8, config.train.batch_size}):
            print(f"| {name} | {count} | {' | '.join(_measured(task, count))} |", flush=True)


def _measured(task: Task, count: int) -> list[str]:
    stream, rng = ExampleStream(task, 0), np.random.default_rng(0)
    fresh, train = stream.take(count), task.split("train").take(slice(count))
    rows = (train.inputs, train.labels, train.puzzle_identifiers)
    work: tuple[Callable[[], object], ...] = (
        lambda: stream.take(count),
        lambda: task.augment_rows(*rows, rng),
        lambda: packed(fresh),
    )
    return [f"{1e6 * _seconds(one, max(1, EACH // count)) / count:.2f}" for one in work]


def _seconds(work: Callable[[], object], times: int) -> float:
    """CPU seconds of one, the median over turns."""
    found = []
    for _ in range(TURNS):
        begun = time.process_time()
        for _ in range(times):
            work()
        found.append((time.process_time() - begun) / times)
    return median(found)


if __name__ == "__main__":
    main()
