"""Curricula at equal compute: accuracy on `test`, and compute to a fixed accuracy on `valid`.

    python -m tests.benchmarks.curricula FOLDER               # runs what is missing, then the table
    python -m tests.benchmarks.curricula FOLDER --tasks arrows5 --seeds 3 --processes 1
    python -m tests.benchmarks.curricula RESULTS.jsonl        # only the table of stored results

Every run is one JSON file in FOLDER, so an interrupted study goes on where it stopped. All runs of
a task have the same budget in training FLOPs; `test` is looked at once, at the end of a run.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.stats import t as student

REPORTS = 20
LEVEL = 0.9


@dataclass(frozen=True)
class Setting:
    """A task of the study.

    Attributes:
        preset: the preset whose default values are the base.
        changes: what the study changes in it.
        target: the accuracy on `valid` whose compute is measured.
        rewarm_steps: RSM's 200 steps, cut in proportion where the whole run is shorter.
    """

    preset: str
    changes: dict[str, Any]
    target: float
    rewarm_steps: int


SETTINGS = {
    "arrows5": Setting("arrows5", {"train.ema": None}, 0.8, 200),
    "sudoku6": Setting("sudoku6", {"train.ema": None, "train.budget": {"steps": 450}}, 0.6, 50),
}
STAGES = [{"at": 0.0, "H_cycles": 1, "L_cycles": 1}, {"at": 0.3, "L_cycles": 1}, {"at": 0.6}]
ARMS: dict[str, Any] = {
    "none": "none",
    "cgar": "cgar",
    # The models are at most 2 deep, where the published start of 2 would leave nothing to grow.
    "rsm": {"name": "rsm", "depth": {"name": "rsm", "start": 1}},
    "easy_to_hard": "easy_to_hard",
    "hard_to_easy": "hard_to_easy",
    "competence": "competence",
    "competence_pool": "competence_pool",
    "stages": {"depth": {"name": "stages", "stages": STAGES}},
    "cgar, depth only": {"name": "cgar", "supervision_weights": "none"},
    "cgar, weights only": {"name": "cgar", "depth": "none"},
    "rsm, depth only": {
        "name": "rsm", "depth": {"name": "rsm", "start": 1}, "supervision_weights": "none",
    },
    "bandit": "bandit",
    "supervision_ramp": "supervision_ramp",
    "halt_growth": "halt_growth",
}  # fmt: skip


def train(task_name: str, arm: str, seed: int, path: Path) -> None:
    """One run; its result is written at the end."""
    import torch

    from search.config.file import load_tree
    from search.space.space import Space
    from trm.config import experiment_from, set_value
    from trm.files.run_folder import cache_folder
    from trm.training.budget import budget_flops
    from trm.training.trainer import Trainer

    torch.set_num_threads(1)
    setting = SETTINGS[task_name]
    tree = Space.parse(load_tree(setting.preset)).default()[1]
    for key, value in setting.changes.items():
        set_value(tree, key, value)
    set_value(tree, "train.reports", REPORTS)
    set_value(tree, "train.valid_examples", 500)
    set_value(tree, "train.seed", seed)
    tree["curriculum"] = ARMS[arm]
    if arm.startswith("rsm"):
        tree["curriculum"] = {**ARMS[arm], "rewarm_steps": setting.rewarm_steps}
    config = experiment_from(tree)
    task = config.task.build(cache_folder())
    trainer = Trainer(config, task, budget_flops(config, task))
    reports = list(trainer.run())
    if not all(math.isfinite(report.train_loss) for report in reports):
        raise RuntimeError(f"{task_name} {arm} seed {seed}: a loss is not finite")
    result = {
        "task": task_name,
        "arm": arm,
        "seed": seed,
        "steps": reports[-1].step,
        "compute": reports[-1].compute,
        "train_seconds": reports[-1].train_seconds,
        "progress": [report.progress for report in reports],
        "valid": [report.exact_accuracy for report in reports],
        "H_cycles": [report.H_cycles for report in reports],
        "L_cycles": [report.L_cycles for report in reports],
        "test": trainer.evaluate(task.split("test")).exact_accuracy,
    }
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(result) + "\n")
    partial.rename(path)


def _train(job: tuple[str, str, int, Path]) -> tuple[str, str, int]:
    train(*job)
    return job[:3]


def compute_to(target: float, result: dict[str, Any]) -> float:
    """Share of the budget at which the curve first meets the target, in a line between marks."""
    before = (0.0, 0.0)
    for point in zip(result["progress"], result["valid"], strict=True):
        if point[1] >= target:
            share = (target - before[1]) / (point[1] - before[1])
            return before[0] + share * (point[0] - before[0])
        before = point
    return math.inf


def half_width(values: list[float]) -> float:
    """Half the t interval of the mean."""
    quantile = student.ppf(0.5 + LEVEL / 2, len(values) - 1)
    return float(quantile * stdev(values) / math.sqrt(len(values)))


def table(results: list[dict[str, Any]]) -> Iterator[str]:
    """The study as Markdown, the best mean first."""
    for name, setting in SETTINGS.items():
        arms: dict[str, list[dict[str, Any]]] = {}
        for result in results:
            if result["task"] == name:
                arms.setdefault(result["arm"], []).append(result)
        if not arms:
            continue
        yield f"\n## {name}\n"
        yield (
            f"| curriculum | exact accuracy on test, mean ± {LEVEL:.0%} | seeds | steps "
            f"| share of the budget to {setting.target:.2f} on valid |"
        )
        yield "|---|---|---|---|---|"
        order = sorted(arms, key=lambda arm: -mean(run["test"] for run in arms[arm]))
        for arm in order:
            runs = sorted(arms[arm], key=lambda run: run["seed"])
            scores = [run["test"] for run in runs]
            spread = f" ± {half_width(scores):.3f}" if len(scores) > 1 else ""
            shares = sorted(compute_to(setting.target, run) for run in runs)
            reached = [share for share in shares if math.isfinite(share)]
            if len(reached) == len(shares):
                need = f"{mean(reached):.2f}"
            else:
                need = f"reached by {len(reached)} of {len(shares)}"
            seeds = " ".join(f"{score:.3f}" for score in scores)
            steps = round(mean(run["steps"] for run in runs))
            yield f"| {arm} | {mean(scores):.3f}{spread} | {seeds} | {steps} | {need} |"


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="of the results, or stored results (.jsonl)")
    parser.add_argument("--tasks", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    if args.folder.is_file():
        lines = args.folder.read_text().splitlines()
        print("\n".join(table([json.loads(line) for line in lines])))
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    jobs = []
    for task in args.tasks:
        for seed in range(args.seeds):
            for arm in args.arms:
                file = f"{task}-{arm.replace(', ', '-').replace(' ', '_')}-{seed}.json"
                if not (args.folder / file).exists():
                    jobs.append((task, arm, seed, args.folder / file))
    context = multiprocessing.get_context("spawn")
    with context.Pool(args.processes) as pool:
        for number, done in enumerate(pool.imap_unordered(_train, jobs), 1):
            print(f"{number}/{len(jobs)}", *done, file=sys.stderr, flush=True)
    results = [json.loads(path.read_text()) for path in sorted(args.folder.glob("*.json"))]
    print("\n".join(table(results)))


if __name__ == "__main__":
    main()
