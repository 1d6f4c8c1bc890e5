"""Run the benchmarks: all, or those named, as in `python -m tests.benchmarks orchestration`."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "orchestration",
    "evaluation",
    "compilation",
    "simulator",
    "ledger",
    "samplers",
    "diagnostics",
    "racing",
    "coverage",
    "startup",
    "busy",
    "scale",
    "identifiers",
    "presets",
    "depth_pays",
    "step",
    "demo_sweep",
)


def main() -> None:
    chosen = sys.argv[1:] or NAMES
    for name in chosen:
        if name not in NAMES:
            sys.exit(f"no benchmark {name!r}; known: {', '.join(NAMES)}")
        print(f"== {name}", flush=True)
        importlib.import_module(f"tests.benchmarks.{name}").main()


main()
