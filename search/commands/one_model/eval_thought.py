"""`trm eval --depth ... --breadth ...`: accuracy against the compute of inference."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from search.commands.one_model.thinking import PICK_NAMES, halt_of, require_noise
from trm.errors import UserError
from trm.files.paths import write_output

if TYPE_CHECKING:
    from pathlib import Path

    from search.analysis.thought.result import Thought
    from search.ledger.storage import Place
    from trm.thought.points import Point

KINDS = (".json", ".svg", ".png", ".pdf")


def asks_for_thought(args: argparse.Namespace) -> bool:
    """Whether any option asks for more than one answer to each puzzle."""
    given = (args.depth, args.breadth, args.noise, args.pick, args.out)
    return args.grid or any(value is not None for value in given)


def run_thought(args: argparse.Namespace) -> int:
    """Evaluate, print, write; returns the exit code."""
    from search.analysis.thought.result import save_thought
    from search.analysis.thought.text import thought_text
    from search.export.weights import is_run
    from search.ledger.storage import place

    _refuse(args)
    where = place(args.checkpoint)
    of_winner = is_run(where) and args.trial is None
    found = _evaluate(args, _promised(where) if of_winner else [args.trial])
    if args.json:
        print(json.dumps(found.as_tree(), allow_nan=False))
    else:
        print(thought_text(found))
    said = sys.stderr if args.json else sys.stdout
    for path in args.out or ():
        _write(found, path)
        print(f"written to {path}", file=said)
    if of_winner and args.data is None:
        _keep(where, found, lambda text: print(text, file=said), save_thought)
    return 0


def _refuse(args: argparse.Namespace) -> None:
    if args.steps is not None:
        raise UserError("--steps", args.steps, "does not go with --depth: give one of them")
    if args.submission is not None:
        raise UserError("--submission", str(args.submission), "is of one answer: leave --depth out")
    for path in args.out or ():
        if path.suffix.lower() not in KINDS:
            raise UserError("--out", str(path), f"must end in one of {', '.join(KINDS)}")


def _promised(folder: Place) -> Sequence[int | None]:
    """The promise runs of the winner whose weights are there; None where weights say what to do."""
    from search.config.plan import read_plan
    from search.export.weights import promise_runs, weights_of
    from search.ledger.reader import read_trials
    from search.stability.result import read_result

    plan, result, trials = read_plan(folder), read_result(folder), read_trials(folder)
    there: list[int | None] = []
    for trial in [] if result is None else promise_runs(plan, result, trials):
        with suppress(UserError), weights_of(folder, trial.id):
            there.append(trial.id)
    return there or [None]


def _evaluate(args: argparse.Namespace, trials: Sequence[int | None]) -> Thought:
    """
    Args:
        trials: of the run; None is the checkpoint or the folder itself.
    """
    from search.analysis.thought.result import Thought, thought_point
    from search.export.weights import weights_of
    from search.logs.console import task_progress
    from trm.evaluation import subset
    from trm.files.run_folder import cache_folder
    from trm.solver import load
    from trm.thought.config import DEFAULT_NOISE
    from trm.thought.points import axes, point, rollout_steps

    picks = args.pick or ["best_q", *(name for name in PICK_NAMES if name != "best_q")]
    noise = args.noise or DEFAULT_NOISE
    pairs = axes(args.depth or [1], args.breadth or [1], grid=args.grid)
    by_model: list[list[Point]] = []
    names: list[str] = []
    with ExitStack() as stack:
        for index, trial in enumerate(trials):
            weights = stack.enter_context(weights_of(args.checkpoint, trial))
            names.append(weights.words.partition(":")[0] or str(args.checkpoint))
            with task_progress() as progress:
                solver = load(weights.checkpoint, args.device, progress=progress, key="--device")
                split = (
                    solver.task.read(
                        args.data, examples=args.examples, cache=cache_folder(), progress=progress
                    )
                    if args.data
                    else solver.split(args.split)
                )
            require_noise(max(args.breadth or [1]), args.noise, solver)
            split = subset(split, args.examples)
            halt = halt_of(args.halt, solver)
            trained = solver.head.config.model.halt_max_steps
            wanted = [(depth * trained, breadth) for depth, breadth in pairs]
            with _working(f"model {index + 1} of {len(trials)}") as share:
                recording = solver.record(
                    split, rollout_steps(wanted), noise=noise, seed=args.seed,
                    halting=halt.rule, progress=share,
                )  # fmt: skip
            halting = halt.rule is not None
            by_model.append(
                [point(recording, *pair, halting=halting, picks=picks) for pair in wanted]
            )
    return Thought(
        models=names,
        source=str(args.data or args.split),
        examples=len(split),
        trained_steps=trained,
        step_flops=solver.step_flops,
        noise=noise.model_dump(),
        seed=args.seed,
        halting=halt.name,
        picks=picks,
        confidence=0.9,
        points=[
            thought_point(found, depth, split.difficulty, solver.step_flops)
            for found, (depth, _) in zip(zip(*by_model, strict=True), pairs, strict=True)
        ],
    )


@contextmanager
def _working(what: str) -> Iterator[Callable[[float], object] | None]:
    """A bar of the work that is done; nothing off a terminal."""
    from search.logs.console import task_progress

    with task_progress() as bar:
        yield None if bar is None else lambda share: bar(what, share)


def _write(found: Thought, path: Path) -> None:
    kind = path.suffix.lower().removeprefix(".")
    if kind == "json":
        write_output(path, json.dumps(found.as_tree(), allow_nan=False) + "\n", "--out")
        return
    from search.analysis.thought.picture import picture

    write_output(path, picture(found, kind), "--out")


def _keep(
    folder: Place,
    found: Thought,
    say: Callable[[str], None],
    save: Callable[[Place, Thought], None],
) -> None:
    """In the run folder, whose report page then shows it; a folder that cannot be written stays."""
    try:
        save(folder, found)
    except OSError as error:
        say(f"not kept in {folder}: {error.strerror or error}")
    else:
        say(f"kept in {folder} for `trm report`")
