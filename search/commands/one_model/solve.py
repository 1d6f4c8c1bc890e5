"""Solve one puzzle and show the answer after each supervision step, with the halting probability.

PUZZLE is written as its task has it, or is `-` to read it from standard input, or `valid:3` for
the fourth example of a split. Sudoku: the cells row by row, `0`, `.` or `*` for a blank (81 of them
for 9x9); of a puzzle with several solutions any will do. Arrows: letters u, r, d, l row by row, the
start in upper case. Mixture: as the first of its tasks has it that takes the text.

Of a sweep's run the winner solves it: the best on `valid` of its promise trials.

  trm solve runs/mine valid:3
  trm solve runs/sudoku4-train .3....2..1....4.
  trm solve runs/maze-train valid:3 --picture maze.svg
  trm solve runs/sudoku4-train valid:3 --depth 4 --breadth 16 --pick vote

With --drafts the answer begins from a draft of the puzzle in a file, see `trm eval --help`.

With --breadth several rollouts think about the puzzle, and --pick says whose answer counts; with
--halt each ends where the rule stops it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from search.commands.one_model.thinking import add_thinking, halt_of, require_noise
from search.commands.options import a_path, add_weights, positive
from trm.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from trm.solver import Answer, Pondered, Solver
    from trm.tasks.base import Task, Tokens


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm solve`."""
    add_weights(parser)
    parser.add_argument("puzzle", help="the puzzle, `-` for standard input, or SPLIT:INDEX")
    parser.add_argument(
        "--steps", type=positive, metavar="N",
        help="supervision steps (default: the model's halt_max_steps)",
    )  # fmt: skip
    parser.add_argument(
        "--picture", type=a_path, metavar="FILE.svg",
        help="draw the puzzle and the last answer; of an example of a split that is not solved its "
        "label too, with the cells marked that differ",
    )  # fmt: skip
    parser.add_argument(
        "--drafts", type=a_path, metavar="FILE",
        help="begin from the draft that this file has of the puzzle",
    )  # fmt: skip
    add_thinking(parser, several=False)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    parser.add_argument(
        "--json", action="store_true",
        help="print one JSON line a step; with --breadth one a rollout, then what was picked",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Show the answer forming; returns the exit code."""
    from search.export.weights import weights_of
    from search.logs.console import say, task_progress
    from trm.solver import load

    with weights_of(args.checkpoint, args.trial) as weights, task_progress() as progress:
        if weights.words:
            say(weights.words)
        solver = load(weights.checkpoint, args.device, progress=progress, key="--device")
    task = solver.task
    if args.picture:
        _refuse_picture(args.picture, task)
    inputs, identifiers, label = _puzzle(args.puzzle, task)
    if not args.json:
        print(task.show(inputs))
    given = (args.depth, args.breadth, args.noise, args.pick, args.halt)
    if args.drafts and any(value is not None for value in given):
        raise UserError("--drafts", str(args.drafts),
                        "does not go with --depth, --breadth or --halt")  # fmt: skip
    if any(value is not None for value in given):
        final = _ponder(args, solver, inputs, identifiers)
    else:
        draft = None
        if args.drafts:
            from search.commands.one_model.refining import draft_for

            draft = draft_for(args.drafts, task, inputs)
        forming = solver.solve(inputs, args.steps, identifiers, draft)
        _print_steps(forming, task, inputs, as_json=args.json)
        final = forming[-1]
    if args.picture:
        _draw(args.picture, task, inputs, final, label)
        print(f"\ndrawn in {args.picture}", file=sys.stderr if args.json else sys.stdout)
    return 0


def _ponder(
    args: argparse.Namespace, solver: Solver, inputs: Tokens, identifiers: Tokens
) -> Answer:
    """Print what rollouts come to, and the answer that is picked."""
    breadth, pick = args.breadth or 1, args.pick or "best_q"
    if args.steps is not None:
        raise UserError("--steps", args.steps, "does not go with --depth: give one of them")
    require_noise(breadth, args.noise, solver)
    found = solver.ponder(
        inputs, depth=args.depth or 1, breadth=breadth, noise=args.noise, pick=pick,
        seed=args.seed, halting=halt_of(args.halt, solver).rule, identifiers=identifiers,
    )  # fmt: skip
    if breadth == 1:
        _print_steps(found.forming[0], solver.task, inputs, as_json=args.json)
    else:
        _print_rollouts(found, as_json=args.json)
    answer, where = found.answer, {"pick": pick, "rollout": found.rollout}
    if args.json:
        print(json.dumps(where | _row(answer) | {"answer": answer.tokens.tolist()}))
    else:
        whose = "" if breadth == 1 else f"rollout {found.rollout}, "
        print(f"\npicked by {pick}: {whose}step {answer.step}  {_said(answer)}")
        print(solver.task.show(answer.tokens, inputs))
    return answer


def _print_rollouts(found: Pondered, *, as_json: bool) -> None:
    """A line for each rollout: where it ended."""
    for number, forming in enumerate(found.forming, start=1):
        if as_json:
            print(json.dumps({"rollout": number} | _row(forming[-1])))
        else:
            gap = "\n" if number == 1 else ""
            print(f"{gap}rollout {number}  step {forming[-1].step}  {_said(forming[-1])}")


def _print_steps(forming: Sequence[Answer], task: Task, inputs: Tokens, *, as_json: bool) -> None:
    for answer in forming:
        if as_json:
            print(json.dumps(_row(answer) | {"answer": answer.tokens.tolist()}))
        else:
            print(f"\nstep {answer.step}  {_said(answer)}")
            print(task.show(answer.tokens, inputs))


def _row(answer: Answer) -> dict[str, Any]:
    return {
        "step": answer.step,
        "halt_probability": answer.halt_probability,
        "solved": answer.solved,
    }


def _said(answer: Answer) -> str:
    verdict = "solved" if answer.solved else "not solved"
    return f"halting probability {answer.halt_probability:.3f}  {verdict}"


def _refuse_picture(path: Path, task: Task) -> None:
    """
    Raises:
        UserError: the file is to be no SVG, or the grid is too large for a picture.
    """
    from trm.tasks.picture import MOST_SIDE

    if path.suffix.lower() != ".svg":
        raise UserError("--picture", str(path), "must end in .svg, which is what is written")
    rows, columns = task.grid_shape
    if max(rows, columns) > MOST_SIDE:
        remedy = f"{task.name} has {rows}x{columns} cells; a picture shows {MOST_SIDE}x{MOST_SIDE}"
        raise UserError("--picture", str(path), remedy)


def _draw(path: Path, task: Task, puzzle: Tokens, answer: Answer, label: Tokens | None) -> None:
    from trm.tasks.picture import svg

    painting = task.painted(answer.tokens, puzzle)
    verdict = "solved" if answer.solved else "not solved"
    panels = [("puzzle", task.painted(puzzle)), (f"step {answer.step}: {verdict}", painting)]
    if label is not None and not answer.solved:
        right = task.painted(label, puzzle)
        panels = [panels[0], (panels[1][0], painting.against(right)), ("label", right)]
    try:
        path.write_text(svg(panels), encoding="utf-8")
    except OSError as error:
        raise UserError("--picture", str(path), f"cannot be written: {error.strerror}") from error


def _puzzle(text: str, task: Task) -> tuple[Tokens, Tokens, Tokens | None]:
    """A puzzle's tokens `[seq_len]`, its row of the puzzle embedding, `[1]`, and a known label."""
    name, colon, index = text.partition(":")
    if colon and name in ("train", "valid", "test"):
        split = task.split(name)  # type: ignore[arg-type]  # one of the three
        if not index.isdecimal() or len(index) > 18 or int(index) >= len(split):
            raise UserError("puzzle", text, f"needs an index from 0 to {len(split) - 1}")
        row = int(index)
        return split.inputs[row], split.puzzle_identifiers[row : row + 1], split.labels[row]
    if text == "-":
        try:
            text = sys.stdin.read()
        except UnicodeDecodeError as error:
            raise UserError("puzzle: standard input is no text: give the cells") from error
    tokens = task.parse(text)
    return tokens, task.identify(tokens[None]), None
