"""Depth against breadth at equal compute of inference, and which selector is worth what.

    python -m tests.benchmarks.breadth FOLDER    # runs what is missing, then the tables

Seeds of the preset arrows5 at its defaults, on puzzles of `test`: rollouts of 1, 2, 4, 8 and 16
times the trained depth, and as many rollouts at the trained depth, with noise of several kinds.
A seed takes about 40 CPU seconds with the compiled step.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from search.config.file import load_tree
from search.space.space import Space
from search.stats.student import t_quantile
from tests.benchmarks.idle import give_way, wait_for_room

PRESET, TIMES = "arrows5", (1, 2, 4, 8, 16)
EXAMPLES = 500
CONFIDENCE = 0.9
NOISES: Mapping[str, Mapping[str, float]] = {
    "z_L .1": {"z_L": 0.1},
    "z_L .2": {"z_L": 0.2},
    "z_L .3": {"z_L": 0.3},
    "z_L .6": {"z_L": 0.6},
    "z_H .1": {"z_H": 0.1},
    "z_H .3": {"z_H": 0.3},
    "both .3": {"z_H": 0.3, "z_L": 0.3},
    "both .6": {"z_H": 0.6, "z_L": 0.6},
    "both 1": {"z_H": 1.0, "z_L": 1.0},
    "start 1": {"start": 1.0},
}

Run = Mapping[str, Any]


def measure(seed: int) -> dict[str, Any]:
    """Train one seed with one thread, then every depth, and every breadth with each noise."""
    import torch

    from trm.config import experiment_from, set_value
    from trm.evaluation import subset
    from trm.files.run_folder import cache_folder
    from trm.thought.config import NoiseConfig
    from trm.thought.picks import PICKS
    from trm.thought.points import Point, point
    from trm.thought.rollouts import record
    from trm.training.trainer import Trainer

    torch.set_num_threads(1)
    tree = Space.parse(load_tree(PRESET)).default()[1]
    set_value(tree, "train.seed", seed)
    config, begun = experiment_from(tree), time.process_time()
    task = config.task.build(cache_folder())
    trainer = Trainer(config, task)
    for _ in trainer.run():
        pass
    test, trained = subset(task.split("test"), EXAMPLES), config.model.halt_max_steps

    def shares(found: Point) -> dict[str, float]:
        return {
            "pass": float(found.passed.mean()),
            "any step": float(found.passed_anywhere.mean()),
            **{name: float(found.picked[name].mean()) for name in PICKS},
        }

    def recorded(steps: Sequence[int], noise: Mapping[str, float]) -> Any:
        return record(
            trainer.model, task, test, steps, noise=NoiseConfig(**noise), batch_size=512,
            device=trainer.device,
        )  # fmt: skip

    deep = recorded([trained * TIMES[-1]], {})
    result: dict[str, Any] = {
        "seed": seed,
        "examples": len(test),
        "depth": {str(times): shares(point(deep, trained * times, 1)) for times in TIMES},
        "breadth": {},
    }
    for name, noise in NOISES.items():
        wide = recorded([trained] * TIMES[-1], noise)
        result["breadth"][name] = {
            str(times): shares(point(wide, trained, times)) for times in TIMES
        }
    return result | {"cpu_seconds": time.process_time() - begun}


def _margin(values: Sequence[float]) -> float:
    """Half the t interval of a mean over seeds."""
    if len(values) < 2:
        return math.nan
    sd = math.sqrt(sum((v - mean(values)) ** 2 for v in values) / (len(values) - 1))
    return t_quantile((1 + CONFIDENCE) / 2, len(values) - 1) * sd / math.sqrt(len(values))


def _cell(values: Sequence[float], base: Sequence[float]) -> str:
    """The mean over seeds, and what it is above the base's, seed by seed, ± half its interval."""
    gains = [value - other for value, other in zip(values, base, strict=True)]
    return f"{mean(values):.3f} ({mean(gains):+.3f} ± {_margin(gains):.3f})"


def table(runs: Sequence[Run]) -> Iterator[str]:
    """Depth and breadth at equal compute, then every noise and selector at the widest."""
    base = [run["depth"]["1"]["q"] for run in runs]
    yield (
        f"{len(runs)} seeds of `{PRESET}`, {runs[0]['examples']} puzzles of `test`, "
        f"{mean(r['cpu_seconds'] for r in runs):.0f} CPU s a seed. The last answer at the trained "
        f"depth is right in {mean(base):.3f} ± {_margin(base):.3f} (t interval at "
        f"{CONFIDENCE:.0%} over seeds); in brackets the gain over it, paired by seed.\n"
    )
    names = list(NOISES)
    yield "| compute | depth, last answer | depth, best_q | breadth, best_q, its noise | pass@K |"
    yield "|---|---|---|---|---|"
    for times in map(str, TIMES):
        by_noise = {
            name: mean(run["breadth"][name][times]["best_q"] for run in runs) for name in names
        }
        best = max(names, key=lambda name: by_noise[name])
        yield (
            f"| {times}x | {_cell([r['depth'][times]['q'] for r in runs], base)} "
            f"| {_cell([r['depth'][times]['best_q'] for r in runs], base)} "
            f"| {_cell([r['breadth'][best][times]['best_q'] for r in runs], base)}, {best} "
            f"| {_cell([r['breadth'][best][times]['pass'] for r in runs], base)} |"
        )
    most = str(TIMES[-1])
    columns = list(runs[0]["depth"]["1"])
    yield f"\n{most} rollouts at the trained depth, and one of {most} times the depth:\n"
    yield "| | " + " | ".join(columns) + " |"
    yield "|---" * (1 + len(columns)) + "|"
    rows = {
        "the trained depth alone": [run["depth"]["1"] for run in runs],
        f"{most}x deeper": [run["depth"][most] for run in runs],
        **{f"noise {name}": [run["breadth"][name][most] for run in runs] for name in names},
    }
    for name, found in rows.items():
        cells = " | ".join(_cell([one[column] for one in found], base) for column in columns)
        yield f"| {name} | {cells} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--most-load", type=float, default=math.inf, help="wait for less")
    args = parser.parse_args(arguments)
    args.folder.mkdir(parents=True, exist_ok=True)
    give_way()
    for seed in range(args.seeds):
        path = args.folder / f"{seed}.json"
        if not path.exists():
            wait_for_room(args.most_load)
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(measure(seed)))
            partial.rename(path)
            print(f"seed {seed} done", flush=True)
    runs = [json.loads((args.folder / f"{seed}.json").read_text()) for seed in range(args.seeds)]
    print("\n".join(table(runs)))


if __name__ == "__main__":
    main()
