"""Show a run folder: trials by outcome, the best, failures and the result; also while it runs.

It only reads: a sweep that goes on is not disturbed. `--check` looks at every byte of every file
and says what is whole; `--repair` makes what is damaged again, from second copies in the folder
and its journal, while no driver is at work. What it replaces is kept in a dated folder of the run.

  trm status runs/mine
  watch trm status runs/mine
  trm status runs/mine --check && echo whole
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
    mend = parser.add_mutually_exclusive_group()
    mend.add_argument("--check", action="store_true", help="say what is whole; 1 if not all is")
    mend.add_argument("--repair", action="store_true", help="mend what is damaged; 1 if not all is")


def run(args: argparse.Namespace) -> int:
    """Print the state; returns the exit code."""
    if args.check:
        from search.analysis.check import check_run

        check = check_run(args.run)
        print(json.dumps(check.tree()) if args.json else check.text())
        return 1 if check.damaged else 0
    if args.repair:
        from search.analysis.repair import repair_run

        repair = repair_run(args.run)
        print(json.dumps(repair.tree()) if args.json else repair.text())
        return 0 if repair.whole else 1
    from search.analysis.status import status, status_text

    print(
        json.dumps(status(args.run)) if args.json else status_text(args.run, explain=args.explain)
    )
    return 0
