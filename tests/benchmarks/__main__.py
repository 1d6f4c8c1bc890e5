"""The table of `table.py`; or the benchmarks named, as in `python -m tests.benchmarks step`."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from tests.benchmarks import table

NAMES = (
    "orchestration",
    "evaluation_share",
    "compilation",
    "ledger",
    "samplers",
    "diagnostics",
    "racing",
    "coverage",
    "promised",
    "startup",
    "busy",
    "scale",
    "identifiers",
    "presets",
    "depth_pays",
    "step",
    "kernels_agree",
    "demo_sweep",
    "stacking",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}; none: the table")
    parser.add_argument("--reference", type=Path, help="a checkout of the reference, for the table")
    parser.add_argument(
        "--anyway", action="store_true", help="measure the table on a busy machine too"
    )
    args = parser.parse_args()
    for name in args.names:
        if name not in NAMES:
            sys.exit(f"no benchmark {name!r}; known: {', '.join(NAMES)}")
    if not args.names:
        try:
            table.main(args.reference, args.anyway)
        except table.TooBusyError as error:
            sys.exit(f"too busy to measure: {error}")
    for name in args.names:
        print(f"== {name}", flush=True)
        importlib.import_module(f"tests.benchmarks.{name}").main()


if __name__ == "__main__":
    main()
