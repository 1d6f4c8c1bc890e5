"""Search a config's space, confirm the best candidates over fresh seeds, and export the winner.

Any value of the config may be a distribution instead, as in `lr: {loguniform: [1e-4, 1e-2]}`. The
run folder holds `sweep.yaml` (the sweep as resolved), `trials/` and `curves/` (Parquet),
`study.log` (an Optuna journal), `checkpoints/`, `result.json` and, at the end, `best.yaml` and
`winner/`, the weights of the best of the winner's promise trials (`stability.keep`), which `trm
eval RUN` and `trm solve RUN` use.

  trm sweep sudoku4
  trm sweep my.yaml --trials 200 --out runs/mine --address auto
  trm sweep my.yaml --out runs/mine --resume
  trm sweep my.yaml --out runs/mine --resume --retry crashed
  trm sweep my.yaml --out 's3://bucket/runs/mine'

A run on an object store (S3, Google Cloud Storage, Azure; credentials from the environment) has no
`study.log`, and a report is stored within 5 seconds.

Ctrl-C, SIGTERM or SIGHUP, to the command or to all its processes, stop it within ten seconds, with
the command that resumes; `nohup` keeps it from SIGHUP, and `trm stop RUN` asks for an end from any
machine that sees the folder. After a stop or a crash, the same command
with --resume goes on from the last checkpoints.
A fault of the machine ends no trial; those that one has ended all the same run again with --retry.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from search.commands.options import (
    a_place,
    add_ray_arguments,
    add_retry,
    ends_well,
    positive,
    resuming,
)
from trm.stopping import at_an_interrupt
from trm.training.loading import load

if TYPE_CHECKING:
    from search.sweep.run import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm sweep`."""
    parser.add_argument("config", help="a YAML file or a preset's name")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="sets",
        help="override one value, as in search.scheduler=none; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--trials", type=positive, metavar="N",
        help="explore trials (more than a finished run has extend it, with --resume)",
    )  # fmt: skip
    parser.add_argument(
        "--out",
        metavar="RUN",
        type=a_place,
        help="run folder, a path or a URI (default: runs/NAME)",
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    add_retry(parser)
    parser.add_argument(
        "--warm-start", action="append", default=[], metavar="RUN", type=a_place,
        help="an earlier run that tells a new one what it can; may be repeated",
    )  # fmt: skip
    add_ray_arguments(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="show the space, a few draws and what it would cost; start nothing",
    )
    parser.add_argument(
        "--explain", action="store_true", help="say of each number of the result what it is"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Sweep; returns the exit code."""
    if args.dry_run:
        return _dry_run(args)
    again = resuming(args, "sweep", ("trials", "out", "warm-start", "parallel", "address"))
    at_an_interrupt(f"resume with: {again}")
    load("search.sweep.launch")
    from search.logs.terminal import SweepDisplay
    from search.sweep.launch import sweep

    def work() -> None:
        done = sweep(
            args.config,
            sets=args.sets,
            out=args.out,
            trials=args.trials,
            resume=args.resume,
            retry=args.retry,
            address=args.address,
            parallel=args.parallel,
            warm_start=args.warm_start,
            display=SweepDisplay(quiet=args.json),
        )
        print_result(done, as_json=args.json, explain=args.explain)

    return ends_well(work, limited=again)


def print_result(done: Run, *, as_json: bool, explain: bool = False) -> None:
    """The winner, how sure we are, and what to do with it."""
    from dataclasses import asdict

    from search.analysis.status import result_table
    from search.ledger.files import REPORT_FILE

    result = done.best()
    assert result is not None
    if as_json:
        print(json.dumps({"run": str(done.folder), **asdict(result)}))
        return
    print(result_table(done, explain=explain))
    best = done.folder / "best.yaml"
    run = shlex.quote(str(done.folder))
    if isinstance(best, Path):
        print(f"\nwritten to {best}; train it with: trm train {shlex.quote(str(best))}")
    else:
        print(f"\nwritten to {best}; fetch it with: trm export {run} --out best.yaml")
    if done.plan.sections.stability.keep:
        print(f"its weights are kept; use them with: trm eval {run} --split test")
    page = done.folder / REPORT_FILE
    if page.is_file():
        print(f"its page, {page}, is of before; write it anew with: trm report {run}")
    else:
        print(f"write its page with: trm report {run}")


def _dry_run(args: argparse.Namespace) -> int:
    from search.config.config import read_config
    from search.logs.console import task_progress
    from search.sweep.dry_run import dry_run, text
    from trm.files.run_folder import cache_folder

    config = read_config(args.config, args.sets)
    if args.trials is not None:
        config = config.with_trials(args.trials)
    config = config.with_warm_start(args.warm_start)
    with task_progress() as progress:
        found = dry_run(
            config,
            parallel=args.parallel,
            address=args.address,
            build=lambda config: config.task.build(cache_folder(), progress),
        )
    print(found.as_json() if args.json else text(found))
    return 0
