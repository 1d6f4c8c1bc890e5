"""Ask the driver at work in a run folder for a clean end, from any machine that sees the folder.

The trials that run save where they stand, within half a minute (a minute on an object store); then
the driver of the sweep, stability run, sensitivity design, ablations or training ends as at a
signal (Ctrl-C, SIGTERM), with exit code 130, and --resume goes on from there. The command waits
until the driver is gone, and says what the run holds and how to go on. A driver looks for the
request every second, on an object store every five.

  trm stop runs/mine
  trm stop 's3://bucket/runs/mine' --wait 300
  trm stop /shared/runs/mine --no-wait

Exit codes: 0 no driver is at work any more, or nobody was; 1 it has not ended in time; 2 no run is
there.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from search.commands.options import positive
from trm.stopping import at_an_interrupt


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm stop`."""
    parser.add_argument("run", metavar="RUN", help="a run folder, or its URI")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--wait", type=positive, default=120, metavar="SECONDS",
        help="how long the driver has to end (default: 120)",
    )  # fmt: skip
    how.add_argument("--no-wait", action="store_true", help="ask, and wait for nothing")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Ask, wait and say what came of it; returns the exit code."""
    at_an_interrupt("what was asked of the driver stands")
    from search.sweep.stop import stop_run

    def say(line: str) -> None:
        if not args.json:
            print(f"trm: {line}", file=sys.stderr, flush=True)

    found = stop_run(args.run, wait=None if args.no_wait else args.wait, say=say)
    print(json.dumps(asdict(found)) if args.json else found.text())
    return 1 if found.problem else 0
