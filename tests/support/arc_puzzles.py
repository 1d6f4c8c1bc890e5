"""Small puzzles of ARC, made from a seed, in files as people have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from trm.tasks.arc import ArcConfig, ArcTask


def grid(rng: np.random.Generator, most: int = 6) -> list[list[int]]:
    rows, columns = rng.integers(3, most + 1, size=2)
    return [[int(c) for c in row] for row in rng.integers(10, size=(rows, columns))]


def puzzle(seed: int, shown: int = 3, asked: int = 1) -> dict[str, Any]:
    """The rule: the output is the input mirrored and one row longer."""
    rng = np.random.default_rng(seed)

    def pair() -> dict[str, Any]:
        one = grid(rng)
        return {"input": one, "output": [row[::-1] for row in one] + [one[0]]}

    return {"train": [pair() for _ in range(shown)], "test": [pair() for _ in range(asked)]}


def small(folders: dict[str, str], **keys: Any) -> ArcConfig:
    return ArcConfig(**folders, **{"valid_puzzles": 2, "augmentations": 8, "votes": 4, **keys})


def built(config: ArcConfig) -> ArcTask:
    task = config.build()
    assert isinstance(task, ArcTask)
    return task


def outputs(seed: int) -> list[Any]:
    return [pair["output"] for pair in puzzle(seed, asked=2)["test"]]


def kaggle(folder: Path, kept_back: list[tuple[str, int]] | None = None) -> dict[str, str]:
    """Kaggle's layout: training with solutions, evaluation without those of some questions.

    Args:
        kept_back: puzzle and question; None is all, as there is no file of solutions then.
    """
    for part, first, count in (("training", 0, 6), ("evaluation", 100, 3)):
        trees = {f"p{first + n}": puzzle(first + n, asked=2) for n in range(count)}
        found = {name: [pair.pop("output") for pair in t["test"]] for name, t in trees.items()}
        for name, index in kept_back or ():
            if name in found:
                found[name][index] = None  # type: ignore[call-overload]
        (folder / f"arc-agi_{part}_challenges.json").write_text(json.dumps(trees))
        if part == "training" or kept_back is not None:
            (folder / f"arc-agi_{part}_solutions.json").write_text(json.dumps(found))
    return {
        part: str(folder / f"arc-agi_{part}_challenges.json") for part in ("training", "evaluation")
    }
