"""Evaluate a trained model: exact accuracy, cells, halting, and accuracy against steps.

Of a sweep's run it is the winner's: the best on `valid` of its promise trials, and so a little
lucky there; `--split test` is not. The averaged weights (EMA) are used where the run kept them.
Every puzzle runs all its supervision steps; what stopping early would give stands beside it.

With --depth or --breadth one pass shows accuracy against the FLOPs of inference, for deeper and for
more rollouts: what passes (pass@K: some rollout's last answer is right; any step: some answer after
some step), what each selector picks, and the gap between the two. --out draws it. Of a sweep's
run all promise runs of the winner are evaluated, and what comes of it is kept for `trm report`.

  trm eval runs/mine --split test
  trm eval runs/sudoku4-train
  trm eval runs/sudoku4-train --depth 1,4,16 --breadth 1,8,64 --noise 0.2 --out thought.svg
  trm eval runs/sudoku9-train --data puzzles.txt --steps 32 --json
  trm eval runs/arc-train --split test --submission submission.json
  trm eval runs/weak --split test --answers drafts.jsonl
  trm eval runs/refiner --split test --drafts drafts.jsonl

--drafts gives each answer a draft to begin from, of any other model or heuristic, and shows how
good the drafts are and what the model does without them: JSON Lines, `{"input": PUZZLE, "draft":
ANSWER}`, each as text or as a list of tokens. --answers writes such a file.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from search.commands.one_model.eval_thought import asks_for_thought, run_thought
from search.commands.one_model.thinking import add_thinking, halt_of
from search.commands.options import a_path, add_weights, positive, probability
from trm.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from trm.evaluation import Evaluation, Thinking
    from trm.learning.halting import HaltingRule
    from trm.solver import Solver
    from trm.tasks.base import Split, Task


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm eval`."""
    add_weights(parser)
    parser.add_argument(
        "--split", choices=["train", "valid", "test"], default="valid",
        help="which examples of the task (default: valid; test is for final numbers); those beyond "
        "the trained range stand apart, where a task has them",
    )  # fmt: skip
    parser.add_argument("--data", type=a_path, metavar="FILE",
        help="puzzles of a file instead: of `trm tasks --write`, or as the task has them",
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=positive, metavar="N",
        help="supervision steps (default: the model's halt_max_steps)",
    )  # fmt: skip
    add_thinking(parser, several=True)
    parser.add_argument(
        "--grid", action="store_true",
        help="every depth with every breadth (default: depths at the least breadth, breadths at "
        "the least depth)",
    )  # fmt: skip
    parser.add_argument(
        "--out", action="append", type=a_path, metavar="FILE",
        help="write what --depth and --breadth show: .json, .svg, .png or .pdf; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--halt-threshold", type=probability, metavar="P",
        help="halting probability at which early stopping stops (default: the config's, or 0.5)",
    )  # fmt: skip
    parser.add_argument(
        "--examples", type=positive, metavar="N", help="at most so many (default: all)"
    )
    parser.add_argument(
        "--submission", type=a_path, metavar="FILE",
        help="write two attempts at each question of the split, as ARC's submission.json",
    )  # fmt: skip
    parser.add_argument(
        "--drafts", type=a_path, metavar="FILE", help="what answers begin from, a line a puzzle"
    )
    parser.add_argument(
        "--answers", type=a_path, metavar="FILE", help="write the answers as drafts for others"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print; returns the exit code."""
    from search.export.weights import weights_of
    from search.logs.console import say

    if args.halt is not None and args.halt_threshold is not None:
        raise UserError("--halt-threshold", args.halt_threshold, "does not go with --halt")
    if asks_for_thought(args):
        for option in ("drafts", "answers"):
            if getattr(args, option):
                raise UserError(f"--{option}", str(getattr(args, option)),
                                "does not go with --depth or --breadth")  # fmt: skip
        return run_thought(args)

    with weights_of(args.checkpoint, args.trial) as weights:
        if weights.words:
            say(weights.words)
        return _evaluate(args, weights.checkpoint)


def _evaluate(args: argparse.Namespace, checkpoint: Path) -> int:
    import numpy as np

    from search.commands.one_model.refining import Refined, drafts_for, write_answers
    from search.logs.console import task_progress
    from trm.evaluation import exact_by_step, score, subset
    from trm.files.run_folder import cache_folder
    from trm.learning.halting import logit_threshold
    from trm.learning.halting_quality import coverage
    from trm.solver import load

    with task_progress() as progress:
        solver = load(checkpoint, args.device, progress=progress, key="--device")
        task = solver.task
        split = (
            task.read(args.data, examples=args.examples, cache=cache_folder(), progress=progress)
            if args.data
            else solver.split(args.split)
        )
    split = subset(split, args.examples)
    rule = _rule(args, solver)
    threshold = logit_threshold(rule) or 0.5
    begun = drafts_for(args.drafts, task, split) if args.drafts else None
    thinking = solver.think(split, args.steps, rule, begun)
    if args.answers:
        write_answers(args.answers, split, thinking.answers[-1])
    result = score(thinking, task, split, threshold)
    judged = exact_by_step(thinking, task, split)
    by_step = [float(share) for share in judged.mean(axis=1)]
    exact = judged[-1]
    by_source = {} if args.data else _by_source(task, task.source_of(args.split), exact)
    by_label = _equal_to_label(thinking, split) if task.many_answers else None
    beyond = None if args.data else _beyond(solver, args, rule)
    likely = _likely(thinking.q_halt[-1])
    least = coverage(thinking.q_halt[-1].astype(np.float64), exact).threshold
    answers_from = 1.0 / (1.0 + math.exp(-least))
    refined = None
    if begun is not None:
        alone = solver.think(split, args.steps, rule)
        refined = Refined.of(task, split, begun, thinking.answers[-1], alone.answers[-1])
    figures = {} if args.data else task.figures(args.split, thinking.answers[-1], likely)
    sent = _submit(args, solver, thinking, rule) if args.submission else ""
    if args.json:
        more: dict[str, Any] = {"exact_accuracy_by_source": by_source} if by_source else {}
        more |= figures
        if by_label is not None:
            more["label_accuracy"] = by_label
        if beyond is not None:
            more["beyond"] = asdict(beyond.result) | {
                "exact_accuracy_by_difficulty": beyond.by_difficulty
            }
        if refined is not None:
            more["drafts"] = asdict(refined)
        more["answers_from"] = answers_from if result.coverage_99 else None
        print(json.dumps(asdict(result) | {"exact_accuracy_by_step": by_step} | more))
    else:
        how = f"at p > {threshold:g}" if thinking.halts is None else f"by {rule.name}"
        _print(result, by_step, str(args.data or args.split), how, answers_from)
        for name, figure in figures.items():
            print(f"  {name}  {figure:.4f}")
        if refined is not None:
            print("\n".join(refined.lines()))
        if sent:
            print(sent)
        if by_label is not None:
            print(f"  equal to the label, one of several right answers  {by_label:.4f}")
        if by_source:
            shares = "  ".join(f"{name}:{share:.3f}" for name, share in by_source.items())
            print(f"  exact by source  {shares}")
        if beyond is not None:
            print(f"{beyond.result.examples:,} puzzles beyond the trained range")
            print(f"  exact accuracy  {beyond.result.exact_accuracy:.4f}")
            shares = "  ".join(f"{at}:{share:.3f}" for at, share in beyond.by_difficulty.items())
            print(f"  exact by difficulty  {shares}")
    return 0


def _rule(args: argparse.Namespace, solver: Solver) -> HaltingRule:
    """What early stopping goes by: what the command line says, else the model's own."""
    from trm.learning.halting import HaltingConfig

    if args.halt_threshold is not None:
        return HaltingConfig(eval_threshold=args.halt_threshold)
    return halt_of(args.halt, solver).rule or solver.head.config.halting


def _submit(args: argparse.Namespace, solver: Solver, thinking: Thinking, rule: HaltingRule) -> str:
    """Write the attempts, those at questions without a known output too; a line about it."""
    import numpy as np

    kept = None if args.data or args.examples else solver.task.kept_back(args.split)
    answers, logits = [thinking.answers[-1]], [thinking.q_halt[-1]]
    if kept is not None:
        further = solver.think(kept, args.steps, rule)
        answers.append(further.answers[-1])
        logits.append(further.q_halt[-1])
    likely = _likely(np.concatenate(logits))
    attempts = solver.task.submission(args.split, np.concatenate(answers), likely)
    if attempts is None or args.data:
        raise UserError(
            "--submission", str(args.submission),
            "needs a task whose questions are voted on (arc) and a whole split: leave out --data "
            "and --examples",
        )  # fmt: skip
    try:
        args.submission.write_text(json.dumps(attempts), encoding="utf-8")
    except OSError as error:
        where = str(args.submission)
        raise UserError("--submission", where, f"cannot be written: {error.strerror}") from error
    without = "" if kept is None else "; those whose outputs are kept back count in no figure"
    return f"  {len(attempts):,} puzzles in {args.submission}{without}"


def _likely(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Halting probabilities."""
    import numpy as np

    return np.asarray(1.0 / (1.0 + np.exp(-logits.astype(np.float64))))


def _equal_to_label(thinking: Thinking, split: Split) -> float:
    from trm.tasks.base import IGNORE

    equal = (thinking.answers[-1] == split.labels) | (split.labels == IGNORE)
    return float(equal.all(axis=1).mean())


@dataclass(frozen=True)
class _Beyond:
    """What a model does with puzzles beyond the range that it was trained on."""

    result: Evaluation
    by_difficulty: dict[str, float]


def _beyond(solver: Solver, args: argparse.Namespace, rule: HaltingRule) -> _Beyond | None:
    from trm.evaluation import exact_by_step, score, subset
    from trm.learning.halting import logit_threshold

    split = subset(solver.task.beyond, args.examples) if solver.task.beyond else None
    if split is None:
        return None
    thinking = solver.think(split, args.steps, rule)
    result = score(thinking, solver.task, split, logit_threshold(rule) or 0.5)
    right = exact_by_step(thinking, solver.task, split)[-1]
    levels = sorted({float(level) for level in split.difficulty})
    shares = {f"{level:g}": float(right[split.difficulty == level].mean()) for level in levels}
    return _Beyond(result, shares)


def _by_source(task: Task, source: NDArray[np.int32], exact: NDArray[np.bool_]) -> dict[str, float]:
    """Exact accuracy of each source that occurs among the first examples of a split."""
    shares = {}
    for index, name in enumerate(task.sources):
        here = exact[source[: len(exact)] == index]
        if len(here):
            shares[name] = float(here.mean())
    return shares


def _print(
    result: Evaluation, by_step: list[float], source: str, stopping: str, answers_from: float
) -> None:
    print(f"{result.examples:,} puzzles of {source}")
    rows = [
        ("exact accuracy", result.exact_accuracy),
        ("answers that pass the rules", result.valid_rate),
        ("cell accuracy", result.cell_accuracy),
        ("accuracy on blank cells", result.blank_accuracy),
        (f"exact, stopping {stopping}", result.early_exact_accuracy),
        ("mean steps when stopping so", result.mean_steps),
        ("exact at the step with the highest q", result.best_q_accuracy),
        ("halting AUC", result.halt_auc),
        ("halting calibration error", result.halt_ece),
        ("answered at 99 % precision", result.coverage_99),
    ]
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        print(f"  {label:<{width}}  {value:.4f}")
    if result.coverage_99:
        print(f"  {'':<{width}}  where p >= {answers_from:.4f}")
    print("  exact by step  " + "  ".join(f"{i}:{a:.3f}" for i, a in enumerate(by_step, 1)))
