"""Show a run folder: trials by outcome, the best, failures and the result; also while it runs.

It only reads: a sweep that goes on is not disturbed.

  trm status runs/mine
  watch trm status runs/mine
"""

from __future__ import annotations

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm status`."""
    parser.add_argument("run", metavar="RUN", help="a run folder of `trm sweep`, or its URI")
    parser.add_argument(
        "--explain", action="store_true", help="say of each number of the result what it is"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the state; returns the exit code."""
    from search.analysis.status import status, status_text

    print(
        json.dumps(status(args.run)) if args.json else status_text(args.run, explain=args.explain)
    )
    return 0
