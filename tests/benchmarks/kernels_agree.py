"""Do both kernels train to the same accuracy? Three tasks over ten seeds, tested pair by pair.

    python -m tests.benchmarks.kernels_agree FILE             # runs what is missing, then the table
    python -m tests.benchmarks.kernels_agree FILE --seeds 3

Every run is appended to FILE, a line of JSON. One seed begins both kernels with the same weights,
order of examples and exploration; only rounding differs, which training amplifies. Budgets are cut
so that accuracy on `test` ends where it is neither near 0 nor near 1.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.optimize import brentq
from scipy.stats import binomtest, nct, ttest_rel, wilcoxon
from scipy.stats import t as student

from tests.benchmarks.presets import measure

STEPS = {"sudoku4": 110, "sort": 600, "arrows4": 500}
KERNELS = ("fused", "eager")
CONFIDENCE, POWER = 0.95, 0.8


def run_missing(path: Path, seeds: int) -> list[dict[str, Any]]:
    """Train what has no line yet, seed by seed, in this process; all lines."""
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines if line.endswith("}")]
    done = {(row["preset"], row["seed"], row["kernel"]) for row in rows}
    jobs = [(p, seed, kernel) for seed in range(seeds) for p in STEPS for kernel in KERNELS]
    for preset, seed, kernel in jobs:
        if (preset, seed, kernel) in done:
            continue
        changes = {
            "train.budget.steps": STEPS[preset], "train.reports": 1, "train.kernel": kernel,
        }  # fmt: skip
        rows.append(measure(preset, seed, changes) | {"kernel": kernel})
        with path.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        print(f"{preset} {seed} {kernel}: {rows[-1]['after']:.3f}", file=sys.stderr, flush=True)
    return rows


def detectable(spread: float, count: int) -> float:
    """The least difference that a two-sided paired t-test sees with a chance of `POWER`.

    Args:
        spread: standard deviation of the pairs' differences.
        count: pairs.

    The power of a t-test is a tail of the noncentral t distribution (Cohen 1988, chapter 2).
    """
    bound = student.ppf((1 + CONFIDENCE) / 2, count - 1)

    def excess(shift: float) -> float:  # the tail on the other side is next to nothing
        return float(nct.sf(bound, count - 1, shift)) - POWER

    return spread * float(brentq(excess, 0.0, 2 * bound + 2)) / math.sqrt(count)


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A row for each task, and one for all pairs in standard deviations of their task."""
    yield (
        "| task | steps | pairs | eager, mean (sd) | fused, mean (sd) | fused less eager, "
        f"{CONFIDENCE:.0%} | p: t, Wilcoxon, sign | seen with {POWER:.0%} power "
        "| CPU s: eager, fused |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    scaled: tuple[list[float], list[float]] = ([], [])
    for preset, steps in STEPS.items():
        found = {
            kernel: {
                row["seed"]: row
                for row in rows
                if (row["preset"], row["kernel"]) == (preset, kernel)
            }
            for kernel in KERNELS
        }
        seeds = sorted(found["eager"].keys() & found["fused"].keys())
        if len(seeds) < 3:
            continue
        eager, fused = ([found[k][seed]["after"] for seed in seeds] for k in ("eager", "fused"))
        spread = stdev(eager)
        for kept, scores in zip(scaled, (eager, fused), strict=True):
            kept += [score / spread for score in scores]
        cost = ", ".join(
            f"{mean(found[k][seed]['cpu_seconds'] for seed in seeds):.0f}"
            for k in ("eager", "fused")
        )
        yield f"| `{preset}` | {steps} | {tested(eager, fused)} | {cost} |"
    if scaled[0]:
        yield f"| all, in sd of the task's eager runs | | {tested(*scaled)} | |"


def tested(eager: Sequence[float], fused: Sequence[float]) -> str:
    """The middle columns of a row."""
    gaps = [b - a for a, b in zip(eager, fused, strict=True)]
    half = student.ppf((1 + CONFIDENCE) / 2, len(gaps) - 1) * stdev(gaps) / math.sqrt(len(gaps))
    apart = [gap for gap in gaps if gap]
    more = sum(gap > 0 for gap in apart)
    chances = (
        ttest_rel(fused, eager).pvalue,
        wilcoxon(fused, eager).pvalue,
        binomtest(more, len(apart)).pvalue if apart else 1.0,
    )
    return (
        f"{len(gaps)} | {mean(eager):.3f} ({stdev(eager):.3f}) "
        f"| {mean(fused):.3f} ({stdev(fused):.3f}) | {mean(gaps):+.3f} ± {half:.3f} "
        f"| {', '.join(f'{chance:.2f}' for chance in chances)} "
        f"| {detectable(stdev(gaps), len(gaps)):.3f}"
    )


def main(arguments: Sequence[str] = ("runs/kernels-agree.jsonl",)) -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("file", type=Path, help="of the results")
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args(arguments)
    args.file.parent.mkdir(parents=True, exist_ok=True)
    print("\n".join(table(run_missing(args.file, args.seeds))))


if __name__ == "__main__":
    main(sys.argv[1:])
