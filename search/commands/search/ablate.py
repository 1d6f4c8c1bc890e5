"""Run a named set of ablations over seeds, and table them against the base with intervals.

The file's `ablations` section names them; without one it is `paper`, the TRM paper's ablations as
far as they fit the base, and each curriculum:

  ablations:
    seeds: 5
    named:
      no_ema: {train.ema: null}
      depth_halved: {model.H_cycles: 1, model.L_cycles: 3}

All trials get the same training FLOPs. The folder holds `ablations.md`, `ablations.json` and the
ledger; the base is the file's default values.

  trm ablate arrows4-ablations
  trm ablate my.yaml --seeds 3 --out runs/mine
  trm ablate my.yaml --seeds 8 --out runs/mine --resume
  trm ablate my.yaml --out runs/mine --resume --retry crashed
"""

from __future__ import annotations

import argparse
import json

from search.commands.options import (
    a_place,
    add_ray_arguments,
    add_retry,
    ends_well,
    positive,
    resuming,
)
from trm.stopping import at_an_interrupt


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm ablate`."""
    parser.add_argument("config", help="a YAML file or a preset's name")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="sets",
        help="override one value, as in ablations=paper; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=positive, metavar="S",
        help="trials of the base and of each ablation (default: the file's, or 5)",
    )  # fmt: skip
    parser.add_argument(
        "--out",
        metavar="RUN",
        type=a_place,
        help="run folder, a path or a URI (default: runs/NAME-ablations)",
    )
    parser.add_argument(
        "--resume", action="store_true",
        help="go on with the run folder --out, with more seeds or ablations if the file has them",
    )  # fmt: skip
    add_retry(parser)
    add_ray_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Run the ablations and print their table; returns the exit code."""
    again = resuming(args, "ablate", ("seeds", "out", "parallel", "address"))
    at_an_interrupt(f"resume with: {again}")
    from dataclasses import asdict

    from search.engine.driver import Runner
    from search.logs.terminal import SweepDisplay
    from search.stability.ablation_table import ablations_markdown
    from search.stability.ablations import ablate

    display = SweepDisplay(quiet=args.json)

    def work() -> None:
        found = ablate(
            args.config,
            sets=args.sets,
            out=args.out,
            seeds=args.seeds,
            resume=args.resume,
            retry=args.retry,
            runner=Runner(address=args.address, parallel=args.parallel, display=display),
        )
        print(json.dumps(asdict(found)) if args.json else ablations_markdown(found))

    return ends_well(work)
