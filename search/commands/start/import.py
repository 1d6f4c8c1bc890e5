"""Make a run folder of another tool's history: an Optuna study, a W&B sweep, Ray Tune's results.

SOURCE is a study's journal or SQLite file, the table of a W&B sweep's runs exported as CSV, or the
folder of a Ray Tune experiment. Nothing in it is executed or changed. CONFIG says in our keys what
was searched: its task, its budget, its objective, and a space that holds the values. Parameters go
by the same path or the same last word; `--map` names others, and what is not named has the file's
default. Trials outside the space are counted and left out.

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

from search.commands.options import a_path
from trm.errors import UserError

_NAMED = 8
"""Names of another tool that are listed at most."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm import`."""
    parser.add_argument("source", type=a_path, metavar="SOURCE", help="a file, or Ray's folder")
    parser.add_argument("config", help="a YAML file or a preset's name: what was searched")
    parser.add_argument(
        "--out", type=a_path, required=True, metavar="RUN", help="the run folder to be made"
    )
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
