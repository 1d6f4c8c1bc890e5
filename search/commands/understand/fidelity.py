"""Show whether early stopping ranks configs as the end of training does.

At each rung of the scheduler, the rank correlation with the end of what it ranks by, and of other
columns that it might rank by (`search.scheduler.metric`). RUN is a run folder, finished or in
progress; FILE a recording that `trm simulate --save` has made. Only trials that were not stopped
have an end: `corrected` says what the correlation would be if nobody had been stopped. It needs 8
configs that ran to their end.

  trm fidelity runs/mine
  trm fidelity runs/mine --json
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.analysis.fidelity import Fidelity
    from search.stats.rank_correlation import RankEstimate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm fidelity`."""
    parser.add_argument(
        "source", metavar="RUN|FILE", help="a run folder or its URI, or a recording in Parquet"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the correlations; returns the exit code."""
    from dataclasses import asdict

    from search.analysis.fidelity import fidelity
    from search.config.plan import read_plan
    from search.explore.enough import FEWEST, require_enough
    from search.ledger.storage import place

    found = fidelity(args.source)
    if found.ended < FEWEST:
        wanted = read_plan(place(args.source)).wanted
        require_enough(found.ended, args.source, "rank correlations", wanted)
    print(json.dumps(asdict(found)) if args.json else _text(found))
    return 0


def _text(found: Fidelity) -> str:
    if not found.rungs:
        return f"no rung has {found.metric} of enough configs that ran to their end"
    level = f"{found.confidence:.0%} interval"
    lines = [
        f"rank correlation of each rung with {found.objective} at the end; the scheduler ranks by "
        f"{found.metric}",
        f"{'rung':>6}  {'column':<22}{'Spearman':>9}  {level:<18}{'Kendall':>8}  "
        f"{'corrected':>9}  {level:<18}trials",
    ]
    for rung in found.rungs:
        for name, row in rung.by.items():
            marks = "*" if name == found.metric else ""
            fixed = row.corrected
            corrected = f"{'':>9}  {'':<18}"
            if row.stopped and fixed is not None:
                corrected = f"{fixed.value:>9.2f}  {_interval(fixed):<18}"
            trials = f"{row.trials}" + (f" of {row.trials + row.stopped}" if row.stopped else "")
            if row.spearman is None or row.kendall is None:
                lines.append(f"{rung.share:>6.1%}  {name + marks:<22}undefined: {row.undefined}")
                continue
            lines.append(
                f"{rung.share:>6.1%}  {name + marks:<22}{row.spearman.value:>9.2f}  "
                f"{_interval(row.spearman):<18}{row.kendall.value:>8.2f}  {corrected}{trials}"
            )
        if rung.best:
            lines.append(f"{'':>6}  best here: {rung.best}")
    if found.stops:
        lines.append(
            "Trials were stopped at the rungs, and those left are alike in what they were chosen "
            "by, which lowers a correlation. `corrected` undoes that as far as the rung itself "
            "chose (Thorndike's case 3); later rungs are not allowed for."
        )
    if found.thinning:
        lines.append(found.thinning)
    lines += [f"warning: {warning}" for warning in found.warnings]
    return "\n".join(lines)


def _interval(estimate: RankEstimate) -> str:
    return f"{estimate.low:.2f} to {estimate.high:.2f}"
