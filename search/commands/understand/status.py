"""Show a run folder: trials by outcome, the best, failures and the result; also while it runs.

It only reads: a sweep that goes on is not disturbed. `--check` looks at every byte of every file
and says what is whole; `--repair` makes what is damaged again, from second copies in the folder
and its journal, while no driver is at work. What it replaces is kept in a dated folder of the run.

Of a sweep that goes on it says, from any machine that sees the folder: which driver is at work and
since when, on which nodes, what its workers use (as they said with their last reports), the pace,
what it has cost, the time that is left for all of it, and which trials are slow, silent or lose
attempts. `--watch` shows it anew until no driver is at work; off a terminal it waits, and prints
the last state alone.

Of a folder of `trm train` it says where the training stands: steps, the share of the budget that is
spent, the time left and the last report; as of ten seconds ago while it trains.

  trm status runs/mine
  trm status 's3://bucket/runs/mine' --watch
  trm status runs/mine --json --watch 60       # a line of JSON a minute
  trm status runs/mine --check && echo whole
"""

from __future__ import annotations

import argparse
import json

from trm.stopping import at_an_interrupt


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm status`."""
    parser.add_argument("run", metavar="RUN", help="a run folder, or its URI")
    parser.add_argument(
        "--explain", action="store_true", help="say of each number of the result what it is"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--watch", metavar="SECONDS", nargs="?", type=_seconds, const=5.0,
        help="show it anew so often (default: every 5), until no driver is at work",
    )  # fmt: skip
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
    if args.watch is not None:
        from search.analysis.watch import watch

        at_an_interrupt("the run is not disturbed")
        watch(args.run, args.watch, as_json=args.json, explain=args.explain)
        return 0
    from search.analysis.watch import shown

    print(shown(args.run, as_json=args.json, explain=args.explain)[0])
    return 0


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1.0 <= value <= 86_400.0:
        raise argparse.ArgumentTypeError(f"{text!r} must be seconds, from 1 to 86400")
    return value
