"""Write a run's best config by robust score, one trial's, or those of the Pareto front.

Every file says what is known of its config: expected score, intervals, failures, seeds, cost,
versions and data. Format `trm` is a config that `trm train` takes. Format `reference` is the arch
YAML of the reference repository with the exact overrides for its `pretrain.py`; it lists what the
reference cannot express. Format `json` is for scripts, and `card` a model card in Markdown.

  trm export runs/mine --out best.yaml
  trm export runs/mine --format reference --out trm_best.yaml
  trm export runs/mine --format card --out CARD.md
  trm export runs/mine --trial 12 --out other.yaml
  trm export runs/mine --front front
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from search.commands.options import a_path
from search.logs.plain import write_exactly
from trm.errors import UserError
from trm.files.paths import write_output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm export`."""
    parser.add_argument("run", metavar="RUN", help="a run folder of `trm sweep`, or its URI")
    parser.add_argument(
        "--format", choices=["trm", "reference", "json", "card"], default="trm",
        help="trm: for `trm train`; reference: for the reference repository; json: config and "
        "figures; card: a model card in Markdown (default: trm)",
    )  # fmt: skip
    parser.add_argument(
        "--trial", type=int, metavar="ID", help="an explore trial instead of the winner"
    )
    parser.add_argument(
        "--front", type=a_path, metavar="DIR",
        help="one file for every config of the Pareto front, in this folder",
    )  # fmt: skip
    parser.add_argument("--out", type=a_path, metavar="FILE", help="a file (default: print it)")


def run(args: argparse.Namespace) -> int:
    """Export; returns the exit code."""
    from search.export.export import FORMATS, export, front_trials
    from search.ledger.storage import place

    run = place(args.run)
    if args.front is not None:
        if args.trial is not None or args.out is not None:
            raise UserError("--front", str(args.front), "goes with neither --trial nor --out")
        for trial in front_trials(run):
            path = args.front / f"trial-{trial}{FORMATS[args.format]}"
            _write(path, export(run, args.format, trial), "--front")
        return 0
    text = export(run, args.format, args.trial)
    if args.out is None:
        write_exactly(text, sys.stdout)
    else:
        _write(args.out, text, "--out")
    return 0


def _write(path: Path, text: str, option: str) -> None:
    try:
        if option == "--front":
            path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(option, str(path), f"cannot be written: {error.strerror}") from error
    write_output(path, text, option)
    print(f"written to {path}")
