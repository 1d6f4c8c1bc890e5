"""A weak solver's answers refined: the refiner against its drafts, and against no draft.

    python -m tests.benchmarks.refining FOLDER    # runs what is missing, then the tables

The weak solver fills in cells that are forced, in any order, but one time in eight whatever else
comes, and guesses where nothing is left. For each seed models of one config, the preset's defaults,
are trained with equal compute: on drafts that are undone at once, or step by step, or by a
curriculum of their corruption, and without drafts. Each answers the same puzzles of `test` from the
weak solver's drafts and from nothing, at equal supervision steps.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.config.file import load_tree
from search.space.space import Space
from search.stats.student import t_quantile
from trm.tasks.base import Tokens

PRESET = "sudoku4"
CHANGES: Mapping[str, Any] = {"task.blanks": 10, "train.reports": 1}
TRAINED = (150, 250)
"""Training steps: a model that solves a part of the puzzles by itself, and one that solves most."""
BUDGETS = (1, 2, 4)
"""Supervision steps of an answer."""
MISTAKES = 0.125
"""Chance with which the weak solver fills in any digit."""
EXAMPLES = 500
CONFIDENCE = 0.9
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "at once": {"train.draft.share": 0.75},
    "step by step": {
        "train.draft.share": 0.75, "loss.target_corruption": 0.75, "loss.corrupt_with": "draft",
    },
    "curriculum": {
        "train.draft.share": 0.75,
        "train.draft.corruption": {"name": "linear", "start": 0.3, "end": 1.0},
    },
    "no drafts": {},
}  # fmt: skip
Run = Mapping[str, Any]


def weak_answers(inputs: Tokens, box: tuple[int, int], seed: int) -> Tokens:
    """What the weak solver makes of puzzles, `[n, cells]`; token 1 is blank, a digit d is d + 1.

    Args:
        box: rows and columns of a box.
    """
    rng, side = np.random.default_rng([seed, 4]), box[0] * box[1]
    cells = np.arange(side * side)
    row, column = cells // side, cells % side
    block = row // box[0] * side + column // box[1]
    units = (row[:, None] == row) | (column[:, None] == column) | (block[:, None] == block)
    digits = np.arange(2, side + 2)
    answers = inputs.copy()
    for answer in answers:
        while len(blank := np.flatnonzero(answer == 1)):
            left = [np.setdiff1d(digits, answer[units[cell]]) for cell in blank]
            fewest = min(map(len, left))
            at = int(rng.choice([i for i, some in enumerate(left) if len(some) == fewest]))
            sure = len(left[at]) and rng.random() >= MISTAKES
            answer[blank[at]] = rng.choice(left[at] if sure else digits)
    return answers


def measure(seed: int, recipe: str, steps: int) -> dict[str, Any]:
    """Train one model with one thread; how often it is right, by supervision steps."""
    import torch

    from trm.config import experiment_from, set_value
    from trm.evaluation import exact_by_step, solve, subset
    from trm.files.run_folder import cache_folder
    from trm.training.trainer import Trainer

    torch.set_num_threads(1)
    tree = Space.parse(load_tree(PRESET)).default()[1]
    changes = {**CHANGES, **RECIPES[recipe], "train.seed": seed, "train.budget.steps": steps}
    for path, value in changes.items():
        set_value(tree, path, value)
    config, begun = experiment_from(tree), time.process_time()
    task = config.task.build(cache_folder())
    trainer = Trainer(config, task)
    for _ in trainer.run():
        pass
    test = subset(task.split("test"), EXAMPLES)
    assert task.boxes is not None
    drafts = weak_answers(test.inputs, task.boxes, seed)

    def right(given: Tokens | None) -> list[float]:
        thinking = solve(
            trainer.model, test, steps=max(BUDGETS), batch_size=512, device=trainer.device,
            drafts=given,
        )  # fmt: skip
        by_step: NDArray[np.float64] = exact_by_step(thinking, task, test).mean(axis=1)
        return [float(by_step[thought - 1]) for thought in BUDGETS]

    trainer.model.eval()
    open_cells = task.unknown(test.inputs)
    return {
        "seed": seed,
        "recipe": recipe,
        "steps": steps,
        "examples": len(test),
        "compute": trainer.counters.compute,
        "draft": float(task.right(test.inputs, test.labels, drafts).mean()),
        "draft cells": float((drafts == test.labels)[open_cells].mean()),
        "from drafts": right(drafts),
        "from nothing": right(None),
        "cpu_seconds": time.process_time() - begun,
    }


def _gain(values: Sequence[float], base: Sequence[float]) -> str:
    """A mean over seeds, and what it is above the base's, seed by seed, ± half its t interval."""
    gains = [value - other for value, other in zip(values, base, strict=True)]
    sd = math.sqrt(sum((v - mean(gains)) ** 2 for v in gains) / (len(gains) - 1))
    half = t_quantile((1 + CONFIDENCE) / 2, len(gains) - 1) * sd / math.sqrt(len(gains))
    return f"{mean(values):.3f} ({mean(gains):+.3f} ± {half:.3f})"


def table(runs: Sequence[Run]) -> Iterator[str]:
    """Every recipe from drafts and from nothing, and what it gains on the draft and on none."""
    seeds = sorted({run["seed"] for run in runs})
    found = {(run["steps"], run["recipe"], run["seed"]): run for run in runs}
    first = [found[TRAINED[0], "no drafts", seed] for seed in seeds]
    draft = [run["draft"] for run in first]
    yield (
        f"{len(seeds)} seeds of `{PRESET}` with {json.dumps(dict(CHANGES))}, "
        f"{first[0]['examples']} puzzles of `test`, "
        f"{mean(run['cpu_seconds'] for run in runs):.0f} CPU s a model. The drafts are right in "
        f"{mean(draft):.3f} of the puzzles and {mean(r['draft cells'] for r in first):.3f} of the "
        f"open cells. In brackets the gain, paired by seed, ± half its t interval "
        f"({CONFIDENCE:.0%}).\n"
    )
    yield (
        "| training steps, on | steps of an answer | from drafts (over the draft) | the same (over "
        "the model trained without, from nothing) | from nothing (over that) |"
    )
    yield "|---|---|---|---|---|"
    for trained in TRAINED:
        plain = [found[trained, "no drafts", seed] for seed in seeds]
        for recipe in RECIPES:
            mine = [found[trained, recipe, seed] for seed in seeds]
            for at, thought in enumerate(BUDGETS):
                given = [run["from drafts"][at] for run in mine]
                none = [run["from nothing"][at] for run in mine]
                base = [run["from nothing"][at] for run in plain]
                yield (
                    f"| {trained}, {recipe} | {thought} | {_gain(given, draft)} | "
                    f"{_gain(given, base)} | {_gain(none, base)} |"
                )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args(arguments)
    args.folder.mkdir(parents=True, exist_ok=True)
    runs = []
    for seed, steps, recipe in product(range(args.seeds), TRAINED, RECIPES):
        path = args.folder / f"{steps} {recipe} {seed}.json"
        if not path.exists():
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(measure(seed, recipe, steps)))
            partial.rename(path)
            print(path.read_text(), flush=True)
        runs.append(json.loads(path.read_text()))
    print("\n".join(table(runs)))


if __name__ == "__main__":
    main()
