"""Say whether this machine, or every node of a cluster, is fit for sweeps, and what to do if not.

Each line is `ok`, `note` (work goes on with less) or `bad` (it does not) and ends in the remedy.
Files are written and read back, Ray is started and stopped; nothing stays.

  trm doctor
  trm doctor --out s3://bucket/runs
  trm doctor --cluster                    # the cluster that this machine belongs to
  trm doctor --cluster 10.0.0.1:6379 --out /shared/runs
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from search.commands.options import a_place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm doctor`."""
    parser.add_argument(
        "--out", type=a_place, default="runs", metavar="DIR",
        help="the folder or URI that runs are to lie in (default: runs)",
    )  # fmt: skip
    parser.add_argument(
        "--cluster", nargs="?", const="auto", metavar="A",
        help="ask every node of a Ray cluster too: auto (the default) or host:port",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the checks as they are done; returns 1 if one is bad."""
    from search.sweep.doctor import HERE, checks

    found, last = [], HERE
    for node, check in checks(args.out, args.cluster):
        found.append((node, check))
        if args.json:
            continue
        if node != last:
            print(f"{node}:", flush=True)
        last = node
        print(check.text(), flush=True)
    bad = sum(check.verdict == "bad" for _, check in found)
    if args.json:
        print(json.dumps([{"node": node, **asdict(check)} for node, check in found]))
    elif bad:
        print(f"{bad} of {len(found)} checks are bad: a sweep would not run well here")
    else:
        print(f"{len(found)} checks, none bad")
    return 1 if bad else 0
