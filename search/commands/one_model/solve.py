"""Solve one puzzle and show the answer after each supervision step, with the halting probability.

PUZZLE is written as its task has it, or is `-` to read it from standard input, or `valid:3` for
the fourth example of a split. Sudoku: the cells row by row, `0`, `.` or `*` for a blank (81 of them
for 9x9); of a puzzle with several solutions any will do. Arrows: letters u, r, d, l row by row, the
start in upper case. Mixture: as the first of its tasks has it that takes the text.

  trm solve runs/sudoku4-train .3....2..1....4.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from search.commands.options import a_path, positive
from trm.errors import UserError

if TYPE_CHECKING:
    from trm.tasks.base import Task, Tokens


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm solve`."""
    parser.add_argument(
        "checkpoint", type=a_path, help="a checkpoint, or the folder of `trm train`"
    )
    parser.add_argument("puzzle", help="the puzzle, `-` for standard input, or SPLIT:INDEX")
    parser.add_argument(
        "--steps", type=positive, metavar="N",
        help="supervision steps (default: the model's halt_max_steps)",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    parser.add_argument("--json", action="store_true", help="print one JSON line a step")


def run(args: argparse.Namespace) -> int:
    """Show the answer forming; returns the exit code."""
    from search.logs.console import task_progress
    from trm.solver import load

    with task_progress() as progress:
        solver = load(args.checkpoint, args.device, progress=progress, key="--device")
    task = solver.task
    inputs, identifiers = _puzzle(args.puzzle, task)
    if not args.json:
        print(task.show(inputs))
    for answer in solver.solve(inputs, args.steps, identifiers):
        if args.json:
            row = {"step": answer.step, "halt_probability": answer.halt_probability}
            print(json.dumps(row | {"solved": answer.solved, "answer": answer.tokens.tolist()}))
        else:
            verdict = "solved" if answer.solved else "not solved"
            chance = f"halting probability {answer.halt_probability:.3f}"
            print(f"\nstep {answer.step}  {chance}  {verdict}")
            print(task.show(answer.tokens, inputs))
    return 0


def _puzzle(text: str, task: Task) -> tuple[Tokens, Tokens]:
    """A puzzle's tokens `[seq_len]` and its row of the puzzle embedding, `[1]`."""
    name, colon, index = text.partition(":")
    if colon and name in ("train", "valid", "test"):
        split = task.split(name)  # type: ignore[arg-type]  # one of the three
        if not index.isdecimal() or len(index) > 18 or int(index) >= len(split):
            raise UserError("puzzle", text, f"needs an index from 0 to {len(split) - 1}")
        row = int(index)
        return split.inputs[row], split.puzzle_identifiers[row : row + 1]
    if text == "-":
        try:
            text = sys.stdin.read()
        except UnicodeDecodeError as error:
            raise UserError("puzzle: standard input is no text: give the cells") from error
    tokens = task.parse(text)
    return tokens, task.identify(tokens[None])
