"""What each preset of the guide's page on tasks reaches: accuracy before and after, and its time.

    python -m tests.benchmarks.presets FOLDER    # runs what is missing, then the table
    python -m tests.benchmarks.presets FOLDER --presets sort maze --seeds 3

Every run is one JSON file in FOLDER. A preset is trained at its defaults with one thread. Accuracy
is that on `test`, which no setting was chosen by.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

PRESETS = (
    "sort",
    "search",
    "graph",
    "automaton",
    "arithmetic",
    "program",
    "pointers",
    "permutations",
    "recall",
    "queens",
    "colouring",
    "maze",
    "sudoku4",
    "sudoku6",
    "sudoku16",
    "arrows4",
)
CONFIDENCE = 0.9
"""Of the accuracy on all such examples (Wilson's interval)."""


def measure(preset: str, seed: int, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Train a preset at its defaults, but for the changes, and score it on `test`."""
    import torch

    from search.config.file import load_tree
    from search.space.space import Space
    from trm.config import experiment_from, set_value
    from trm.files.run_folder import cache_folder
    from trm.training.budget import budget_flops
    from trm.training.trainer import Trainer

    torch.set_num_threads(1)
    tree = Space.parse(load_tree(preset)).default()[1]
    for key, value in {**changes, "train.seed": seed}.items():
        set_value(tree, key, value)
    config = experiment_from(tree)
    task = config.task.build(cache_folder())
    load = os.getloadavg()[0]
    begun, used = time.perf_counter(), time.process_time()
    trainer = Trainer(config, task, budget_flops(config, task))
    test = task.split("test")
    before = trainer.evaluate(test)
    reports = list(trainer.run())
    if not all(math.isfinite(report.train_loss) for report in reports):
        raise RuntimeError(f"{preset} seed {seed}: a loss is not finite")
    spent, used = time.perf_counter() - begun, time.process_time() - used
    after = trainer.evaluate(test)
    beyond = task.beyond
    return {
        "preset": preset,
        "seed": seed,
        "H_cycles": config.model.H_cycles,
        "L_cycles": config.model.L_cycles,
        "steps": reports[-1].step,
        "compute": reports[-1].compute,
        "seconds": spent,
        "cpu_seconds": used,
        "load": [load, os.getloadavg()[0]],
        "examples": after.examples,
        "before": before.exact_accuracy,
        "after": after.exact_accuracy,
        "cells": after.blank_accuracy,
        "valid": [report.exact_accuracy for report in reports],
        "beyond": trainer.evaluate(beyond).exact_accuracy if beyond is not None else None,
    }


Job = tuple[str, int, dict[str, Any], Path]


def _run(job: Job) -> str:
    preset, seed, changes, path = job
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(measure(preset, seed, changes)) + "\n")
    partial.rename(path)
    return path.stem


def run_missing(jobs: Sequence[Job], processes: int) -> None:
    """Train what has no file yet, one run at a time in each process."""
    left = [job for job in jobs if not job[-1].exists()]
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        for number, done in enumerate(pool.imap(_run, left, chunksize=1), 1):
            print(f"{number}/{len(left)} {done}", file=sys.stderr, flush=True)


def table(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One row a run."""
    yield (
        "| preset | steps | before | after (90 %) | n | cells right | beyond | seconds "
        "| CPU seconds | load |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for run in results:
        right = binomtest(round(run["after"] * run["examples"]), run["examples"])
        low, high = right.proportion_ci(CONFIDENCE, method="wilson")
        beyond = "-" if run["beyond"] is None else f"{run['beyond']:.3f}"
        load = " to ".join(f"{load:.0f}" for load in run["load"])
        yield (
            f"| `{run['preset']}` | {run['steps']:,} | {run['before']:.3f} "
            f"| {run['after']:.3f} ({low:.2f} to {high:.2f}) | {run['examples']} "
            f"| {run['cells']:.3f} | {beyond} | {run['seconds']:.0f} "
            f"| {run['cpu_seconds']:.0f} | {load} |"
        )


def main(arguments: Sequence[str] = ("runs/benchmark-presets",)) -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="of the results")
    parser.add_argument("--presets", nargs="+", default=list(PRESETS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args(arguments)
    args.folder.mkdir(parents=True, exist_ok=True)
    jobs: list[Job] = [
        (preset, seed, {}, args.folder / f"{preset}-{seed}.json")
        for preset in args.presets
        for seed in range(args.seeds)
    ]
    run_missing(jobs, args.processes)
    print("\n".join(table([json.loads(job[-1].read_text()) for job in jobs])))


if __name__ == "__main__":
    main(sys.argv[1:])
