"""Evaluate a checkpoint: exact accuracy, cells, halting, and accuracy against steps.

The averaged weights (EMA) are used where the run kept them. Every puzzle runs all its supervision
steps; what stopping early would give stands beside it.

  trm eval runs/sudoku4-train
  trm eval runs/sudoku9-train --data puzzles.txt --steps 32 --json
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from search.commands.options import positive, probability

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trm.evaluation import Evaluation
    from trm.tasks.base import Task


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm eval`."""
    parser.add_argument("checkpoint", type=Path, help="a checkpoint, or the folder of `trm train`")
    parser.add_argument(
        "--split", choices=["train", "valid", "test"], default="valid",
        help="which examples of the task (default: valid; test is for final numbers)",
    )  # fmt: skip
    parser.add_argument("--data", type=Path, metavar="FILE", help="puzzles of a file instead")
    parser.add_argument(
        "--steps", type=positive, metavar="N",
        help="supervision steps (default: the model's halt_max_steps)",
    )  # fmt: skip
    parser.add_argument(
        "--halt-threshold", type=probability, metavar="P",
        help="halting probability at which early stopping stops (default: the config's, or 0.5)",
    )  # fmt: skip
    parser.add_argument("--examples", type=positive, metavar="N", help="at most so many")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print; returns the exit code."""
    import torch

    from search.logs.console import task_progress
    from trm.checkpoint import load_model, read_head, require_same_data
    from trm.device import resolve
    from trm.evaluation import score, solve, subset
    from trm.learning.halting import logit_threshold
    from trm.run_folder import cache_folder, checkpoint_in
    from trm.tasks.base import IGNORE

    folder = checkpoint_in(args.checkpoint)
    head = read_head(folder)
    train = head.config.train
    with task_progress() as progress:
        task = head.config.task.build(cache_folder(), progress)
    resolved = resolve(train.model_copy(update={"device": args.device}), "--device")
    torch.set_num_threads(resolved.threads)
    if args.data:
        split = task.read(args.data)
    else:
        require_same_data(folder, head, task)
        split = task.split(args.split)
    split = subset(split, args.examples)
    model, _ = load_model(folder, task, resolved)
    rule = None if args.halt_threshold else head.config.halting
    threshold = args.halt_threshold or logit_threshold(head.config.halting) or 0.5
    thinking = solve(
        model,
        split,
        steps=args.steps or head.config.model.halt_max_steps,
        batch_size=train.eval_batch_size,
        device=torch.device(resolved.device),
        loss=head.config.loss,
        halting=rule,
    )
    result = score(thinking, task, split, threshold)
    right = (thinking.answers == split.labels) | (split.labels == IGNORE)
    by_step = [float(share) for share in right.all(axis=2).mean(axis=1)]
    exact = right[-1].all(axis=1)
    by_source = {} if args.data else _by_source(task, task.source_of(args.split), exact)
    if args.json:
        more = {"exact_accuracy_by_source": by_source} if by_source else {}
        print(json.dumps(asdict(result) | {"exact_accuracy_by_step": by_step} | more))
    else:
        how = (
            f"at p > {threshold:g}" if thinking.halts is None else f"by {head.config.halting.name}"
        )
        _print(result, by_step, str(args.data or args.split), how)
        if by_source:
            shares = "  ".join(f"{name}:{share:.3f}" for name, share in by_source.items())
            print(f"  exact by source  {shares}")
    return 0


def _by_source(task: Task, source: NDArray[np.int32], exact: NDArray[np.bool_]) -> dict[str, float]:
    """Exact accuracy of each source that occurs among the first examples of a split."""
    shares = {}
    for index, name in enumerate(task.sources):
        here = exact[source[: len(exact)] == index]
        if len(here):
            shares[name] = float(here.mean())
    return shares


def _print(result: Evaluation, by_step: list[float], source: str, stopping: str) -> None:
    print(f"{result.examples:,} puzzles of {source}")
    rows = [
        ("exact accuracy", result.exact_accuracy),
        ("answers that pass the rules", result.valid_rate),
        ("cell accuracy", result.cell_accuracy),
        ("accuracy on blank cells", result.blank_accuracy),
        (f"exact, stopping {stopping}", result.early_exact_accuracy),
        ("mean steps when stopping so", result.mean_steps),
        ("halting AUC", result.halt_auc),
    ]
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        print(f"  {label:<{width}}  {value:.4f}")
    print("  exact by step  " + "  ".join(f"{i}:{a:.3f}" for i, a in enumerate(by_step, 1)))
