"""Take in what other tools made: weights of the reference repository, or a search's history.

SOURCE says by itself which it is.

Weights: a checkpoint of SamsungSAILMontreal/TinyRecursiveModels (what `torch.save` wrote, whatever
its names begin with; nothing in it is executed) becomes a checkpoint of ours, which evaluates,
solves and fine-tunes. CONFIG is its arch config, or the all_config.yaml beside it, which has the
recipe too. --task is a preset, a YAML file with a task, or a data folder of the reference; without
it the data_paths of all_config.yaml count, else what the vocabulary says.

  trm import step_65104 --config all_config.yaml --task sudoku9 --out runs/public
  trm eval runs/public
  trm train runs/public/config.yaml --from runs/public --out runs/tuned

A history: an Optuna study's journal or SQLite file, the table of a W&B sweep's runs exported as
CSV, or the folder of a Ray Tune experiment becomes a run folder. Nothing in it is executed or
changed. CONFIG says in our keys what was searched: its task, its budget, its objective, and a space
that holds the values. Parameters go by the same path or the same last word; --map names others,
and what is not named has the file's default. Trials outside the space are counted and left out.

  trm import study.log my.yaml --out runs/old
  trm import table.csv my.yaml --out runs/old --metric eval/acc --map learning_rate=optimizer.lr
  trm import ~/ray_results/exp my.yaml --out runs/old --metric accuracy

The folder is a run like any other: look at it, and begin a sweep with what it says. Scores count as
observations where the sweep has the same task, budget and objective; else its best three configs
are tried first.

  trm importance runs/old
  trm sweep my.yaml --warm-start runs/old
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from search.commands.options import a_path
from trm.errors import UserError

_NAMED = 8
"""Names of another tool that are listed at most."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm import`."""
    parser.add_argument(
        "source", type=a_path, metavar="SOURCE", help="a file of weights or a history, Ray's folder"
    )
    parser.add_argument(
        "config", nargs="?",
        help="of weights the reference's arch config or all_config.yaml; of a history a YAML file "
        "or a preset's name: what was searched",
    )  # fmt: skip
    parser.add_argument("--config", dest="named", metavar="CONFIG", help="the same, by name")
    parser.add_argument(
        "--out", type=a_path, required=True, metavar="RUN",
        help="the folder to be made: a checkpoint, or a run",
    )  # fmt: skip
    parser.add_argument(
        "--task", metavar="TASK",
        help="weights: what they were trained on: a preset, a YAML file, or a data folder of the "
        "reference",
    )  # fmt: skip
    parser.add_argument(
        "--metric", metavar="NAME",
        help="what the objective is called there (default: as here; a study's values have no name)",
    )  # fmt: skip
    parser.add_argument(
        "--map", action="append", default=[], metavar="THEIRS=OURS", dest="names",
        help="a parameter's name there and here; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--study", metavar="NAME", help="of an Optuna file that holds several studies"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="sets",
        help="override one value of the config; may be repeated",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Import; returns the exit code."""
    from search.explore.imported.kinds import is_arch, is_weights

    if not args.source.exists():
        raise UserError(str(args.source), None, "is not there: check the path")
    if args.config is not None and args.named is not None:
        raise UserError("--config", args.named, "stands beside another CONFIG: name one")
    args.config = args.named if args.config is None else args.config
    if args.config is None:
        raise UserError(
            "CONFIG: is missing: of weights name the reference's arch config, of a history what "
            "was searched"
        )
    if is_weights(args.source):
        return _weights(args)
    if args.task is not None or is_arch(Path(args.config)):
        what = "is a folder" if args.source.is_dir() else "begins as no file of weights does"
        raise UserError(
            f"{args.source}: {what}: give the file that `torch.save` wrote, or one in safetensors; "
            "with a history go neither --task nor a config of the reference"
        )
    return _history(args)


def _weights(args: argparse.Namespace) -> int:
    """Weights of the reference as a checkpoint."""
    from search.explore.imported.reference_checkpoint import import_reference
    from search.logs.console import task_progress

    given = {"--metric": args.metric, "--map": args.names or None, "--study": args.study}
    for option, value in given.items():
        if value is not None:
            raise UserError(option, value, f"goes with a history, and {args.source} holds weights")
    with task_progress() as progress:
        lines = import_reference(
            args.source, Path(args.config), args.out, task=args.task, sets=args.sets,
            progress=progress,
        )  # fmt: skip
    print("\n".join(lines))
    run = shlex.quote(str(args.out))
    print(f"evaluate it with: trm eval {run}")
    print(f"fine-tune it with: trm train {run}/config.yaml --from {run} --out {run}-tuned")
    return 0


def _history(args: argparse.Namespace) -> int:
    """A search of another tool as a run folder."""
    from search.config.checks import check_config
    from search.config.config import read_config
    from search.config.resolve import resolve_plan
    from search.explore.imported.foreign import read_foreign
    from search.explore.imported.import_run import import_run
    from search.logs.console import task_progress
    from trm.files.run_folder import cache_folder

    given = {}
    for text in args.names:
        their, equals, our = text.partition("=")
        if not (their and equals and our):
            raise UserError("--map", text, "must be THEIRS=OURS, as in learning_rate=optimizer.lr")
        given[their] = our
    config = read_config(args.config, args.sets)
    check_config(config)
    column = config.sections.search.objective[0].column
    found = read_foreign(args.source, column, study=args.study, metric=args.metric)
    with task_progress() as progress:
        task = config.default.task.build(cache_folder(), progress)
    plan = resolve_plan(config, task)
    taken = import_run(found, config, plan, args.out, given)
    words = ", ".join(f"{n} {outcome}" for outcome, n in taken.outcomes.most_common())
    print(f"{found.source}: {taken.outcomes.total()} trials in {args.out} ({words})")
    for our, their in taken.names.items():
        print(f"  {our} is {their} there")
    at_default = [name for name in plan.space.parameters if name not in taken.names]
    if at_default:
        print(f"  at the file's default, for it is not there: {', '.join(at_default)}")
    if taken.ignored:
        more = f" and {len(taken.ignored) - _NAMED} more" if len(taken.ignored) > _NAMED else ""
        names = ", ".join(taken.ignored[:_NAMED])
        print(f"  not taken, though it varies there: {names}{more}")
    for why, count in taken.outside.most_common():
        print(f"  {count} left out: {why} is outside the space")
    if found.unfinished:
        print(f"  {found.unfinished} left out: unfinished")
    run = shlex.quote(str(args.out))
    print(f"start from it with: trm sweep {shlex.quote(args.config)} --warm-start {run}")
    return 0
