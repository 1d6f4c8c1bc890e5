"""Say which of several runs is ahead and how sure that is; then their figures, and what differed.

The winners are compared by their promise seeds, which took no part in choosing them: the
difference of the means with a confidence interval (Welch's t), and the probability that one fresh
seed of the first beats one of the other. One is ahead where the interval leaves out 0; else it is
undecided, with the seeds that would settle it. With more than two runs, the
first is compared with each other one, and each interval stands alone. Runs on different tasks,
data, objectives or examples get no verdict.

  trm compare runs/mine runs/yours
  trm compare runs/a runs/b runs/c --confidence 0.95 --json
"""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

from search.commands.options import probability


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm compare`."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="run folders or their URIs, two or more"
    )
    parser.add_argument(
        "--confidence", type=probability, metavar="P",
        help="of the intervals (default: the first run's stability.confidence)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the comparison; returns the exit code."""
    from search.analysis.compare import compare
    from search.analysis.compare_text import comparison_text

    comparison = compare(args.runs, args.confidence)
    print(json.dumps(_plain(comparison)) if args.json else comparison_text(comparison))
    return 0


def _plain(value: Any) -> Any:
    """Plain values; JSON knows no infinity, which becomes null."""
    from dataclasses import fields, is_dataclass

    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        return _plain(value.model_dump(mode="json"))
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
