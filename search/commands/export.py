"""Write a run's best config, or one trial's.

Format `trm` is a config that `trm train` takes. Format `reference` is the arch YAML of the
reference repository with the exact overrides for its `pretrain.py`; it lists what the reference
cannot express.

  trm export runs/mine --out best.yaml
  trm export runs/mine --format reference --out trm_best.yaml
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trm.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm export`."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder of `trm sweep`")
    parser.add_argument(
        "--format", choices=["trm", "reference"], default="trm",
        help="trm: for `trm train`; reference: for the reference repository (default: trm)",
    )  # fmt: skip
    parser.add_argument(
        "--trial", type=int, metavar="ID", help="an explore trial instead of the winner"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="a file (default: print it)")


def run(args: argparse.Namespace) -> int:
    """Export; returns the exit code."""
    from search.export import export
    from search.plan import read_plan
    from trm.run_folder import cache_folder

    task = read_plan(args.run).default.task.build(cache_folder())
    text = export(args.run, args.format, task, args.trial)
    if args.out is None:
        sys.stdout.write(text)
        return 0
    try:
        args.out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError("--out", str(args.out), f"cannot be written: {error.strerror}") from error
    print(f"written to {args.out}")
    return 0
