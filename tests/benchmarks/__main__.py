"""The table of `table.py`; or the benchmarks named, as in `python -m tests.benchmarks step`."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from tests.benchmarks import table
from tests.benchmarks.rest import TooBusyError, require_rest

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
    "demo",
    "demo_sweep",
    "first_step",
    "fresh_examples",
    "stacking",
)

WALL_TIME = ("demo", "demo_sweep", "busy")
"""Those whose figures are the clock's, so that they begin on an idle machine alone."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}; none: the table")
    parser.add_argument("--reference", type=Path, help="a checkout of the reference, for the table")
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    parser.add_argument(
        "--tiny", action="store_true", help="the table's rows as small as can be, to see them work"
    )
    args = parser.parse_args()
    for name in args.names:
        if name not in NAMES:
            sys.exit(f"no benchmark {name!r}; known: {', '.join(NAMES)}")
    try:
        if not args.names:
            table.main(args.reference, args.anyway, args.tiny)
        for name in args.names:
            print(f"== {name}", flush=True)
            if name in WALL_TIME:
                require_rest(args.anyway)
            importlib.import_module(f"tests.benchmarks.{name}").main()
    except TooBusyError as error:
        sys.exit(f"too busy to measure: {error}")


if __name__ == "__main__":
    main()
