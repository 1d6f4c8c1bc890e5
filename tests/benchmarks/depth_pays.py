"""Does recursion pay at equal compute? Depth 1x1 against each preset's own, over seeds.

    python -m tests.benchmarks.depth_pays FOLDER    # runs what is missing, then the table
    python -m tests.benchmarks.depth_pays FOLDER --presets pointers --seeds 2

Both depths of a preset get the same training FLOPs, so the shallow one more steps, with the same
learning-rate decay over them; all else is the preset's. One seed begins both with the same order of
examples, and the difference is taken seed by seed. Accuracy is that on `test`.
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

from search.stats.student import t_quantile
from tests.benchmarks.presets import Job, run_missing

SHARES = {"maze": 0.25, "pointers": 0.3, "permutations": 1.0, "sudoku4": 0.5}
"""Of each preset's own budget: where the accuracy of neither depth is near 0 or 1."""
SHALLOW = {"model.H_cycles": 1, "model.L_cycles": 1}
CONFIDENCE = 0.9


def budget_of(preset: str) -> float:
    """The share of the training FLOPs of the preset at its defaults."""
    from search.config.file import load_tree
    from search.space.space import Space
    from trm.config import experiment_from
    from trm.files.run_folder import cache_folder
    from trm.training.budget import budget_flops

    config = experiment_from(Space.parse(load_tree(preset)).default()[1])
    return SHARES[preset] * budget_flops(config, config.task.build(cache_folder()))


def margin(values: Sequence[float]) -> float:
    """Half the t interval of the mean."""
    quantile = t_quantile((1 + CONFIDENCE) / 2, len(values) - 1)
    return quantile * stdev(values) / math.sqrt(len(values))


def table(results: Sequence[Mapping[str, Any]], column: str = "after") -> Iterator[str]:
    """A row for each preset, and the seeds of each arm."""
    yield (
        "| preset | TFLOP | depth | steps | CPU seconds | accuracy, mean (sd) | seeds "
        f"| deep less shallow, {CONFIDENCE:.0%} |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for preset in dict.fromkeys(run["preset"] for run in results):
        arms: dict[tuple[int, int], dict[int, Mapping[str, Any]]] = {}
        for run in results:
            if run["preset"] == preset:
                arms.setdefault((run["H_cycles"], run["L_cycles"]), {})[run["seed"]] = run
        depths = sorted(arms)
        for depth in depths:
            runs = [arms[depth][seed] for seed in sorted(arms[depth])]
            scores = [run[column] for run in runs if run[column] is not None]
            if not scores:
                continue
            spread = f" ({stdev(scores):.3f})" if len(scores) > 1 else ""
            paired = [
                arms[depth][seed][column] - arms[depths[0]][seed][column]
                for seed in sorted(arms[depth])
                if depth != depths[0] and seed in arms[depths[0]]
            ]
            gap = f"{mean(paired):+.3f} ± {margin(paired):.3f}" if len(paired) > 1 else ""
            yield (
                f"| `{preset}` | {runs[0]['compute'] / 1e12:.2f} | {depth[0]}x{depth[1]} "
                f"| {runs[0]['steps']:,} | {mean(run['cpu_seconds'] for run in runs):.0f} "
                f"| {mean(scores):.3f}{spread} | {' '.join(f'{score:.3f}' for score in scores)} "
                f"| {gap} |"
            )


def main(arguments: Sequence[str] = ("runs/benchmark-depth",)) -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="of the results")
    parser.add_argument("--presets", nargs="+", default=list(SHARES), choices=list(SHARES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args(arguments)
    args.folder.mkdir(parents=True, exist_ok=True)
    jobs: list[Job] = []
    for seed in range(args.seeds):
        for preset in args.presets:
            common = {"train.budget": {"flops": budget_of(preset)}, "train.reports": 1}
            for arm, changes in (("shallow", SHALLOW), ("preset", {})):
                path = args.folder / f"{preset}-{arm}-{seed}.json"
                jobs.append((preset, seed, {**common, **changes}, path))
    run_missing(jobs, args.processes)
    results = [json.loads(job[-1].read_text()) for job in jobs]
    print("\n".join(table(results)))
    print("\nThe same models beyond the trained range:\n")
    print("\n".join(table(results, "beyond")))


if __name__ == "__main__":
    main(sys.argv[1:])
