"""The command line: see the package's docstring."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

DEFAULT_METHODS = ("ours", "random", "stock", "stock again", "tpe", "gp")
QUICK = 5
"""By how much `--quick` divides the number of worlds."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, and print the tables."""
    from tests.benchmarks.judging.confirming import lines
    from tests.benchmarks.judging.families import FAMILIES
    from tests.benchmarks.judging.plot import draw
    from tests.benchmarks.judging.report import tables
    from tests.benchmarks.judging.sweeps import judge, read

    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.judging")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--worlds", type=int, default=60, help="of each family but hpolib")
    parser.add_argument("--repetitions", type=int, default=100, help="of hpolib")
    parser.add_argument("--methods", nargs="+", default=list(DEFAULT_METHODS), metavar="METHOD")
    parser.add_argument("--workers", default="1,8", help="runs at once, separated by commas")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, default=Path("judging.jsonl"), help="JSON lines")
    parser.add_argument("--quick", action="store_true", help="a fifth of the worlds")
    parser.add_argument(
        "--tables", action="store_true", help="print what --out holds, and run nothing"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw regret against compute")
    given = parser.parse_args(arguments)
    part = QUICK if given.quick else 1
    worlds = {
        family: -(-(given.repetitions if family == "hpolib" else given.worlds) // part)
        for family in given.families
    }
    workers = [int(count) for count in given.workers.split(",")]
    begun = time.monotonic()
    missing = {} if given.tables else worlds
    for done, count in judge(missing, given.methods, workers, given.jobs, given.out):
        if sys.stderr.isatty() or done == count:
            print(f"\r{done} of {count} worlds, {time.monotonic() - begun:.0f} s",
                  end="", file=sys.stderr)  # fmt: skip
    print(file=sys.stderr)
    found = [
        one
        for one in read(given.out)
        if one.family in worlds and one.world < worlds[one.family] and one.workers in workers
    ]
    for table in tables(found, given.methods):
        print(table)
    if "recorded" in missing:
        for line in lines(worlds["recorded"]):
            print(line)
    if given.plot:
        draw(found, given.methods, given.plot)


if __name__ == "__main__":
    # Before numpy is read, here and in the processes that are begun.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    main()
