"""Records learning curves of random configs of a wide space, for worlds that judge a search.

    python -m tests.benchmarks.record FILE.yaml FOLDER --configs 120 --seeds 2
    python -m tests.benchmarks.record FILE.yaml FOLDER --save FILE.parquet

One run after another in one process with one thread, each in a JSON file of its own: a recording
that was interrupted goes on, and several processes can share the seeds. The first config has the
file's default values, the others are independent draws from its space, without those that the
schema refuses. Every run has the file's budget in training FLOPs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from search.config.file import load_tree
from search.simulator.recording import RecordedRun, Recording, write_recording
from search.space.space import Draw, Space


def draws(space: Space, count: int, seed: int) -> Iterator[Draw]:
    """The default values, then independent draws that the schema accepts."""
    from trm.config import experiment_from

    yield space.default()
    rng = np.random.default_rng(seed)
    found = 1
    while found < count:
        draw = space.sample(rng)
        try:
            experiment_from(draw[1])
        except ValueError:
            continue
        found += 1
        yield draw


def train(tree: dict[str, Any], seed: int) -> dict[str, Any]:
    """One run with one thread: its reports, how it ended and what it took."""
    import torch

    from trm.config import experiment_from
    from trm.files.run_folder import cache_folder
    from trm.training.trainer import Trainer

    torch.set_num_threads(1)
    config = experiment_from({**tree, "train": {**tree["train"], "seed": seed, "threads": 1}})
    begun = time.process_time()
    trainer = Trainer(config, config.task.build(cache_folder()))
    rows = [report.row() for report in trainer.run()]
    outcome = "diverged" if rows[-1]["diverged"] else "completed"
    if rows[-1]["collapsed"]:
        outcome = "collapsed"
    return {"outcome": outcome, "rows": rows, "cpu_seconds": time.process_time() - begun}


def read(tree: dict[str, Any], folder: Path, floor: float) -> Recording:
    """What the files of a folder hold, of the configs that have a run with each seed."""
    found: dict[int, dict[int, dict[str, Any]]] = {}
    for path in sorted(folder.glob("*-*.json")):
        config, seed = map(int, path.stem.split("-"))
        found.setdefault(config, {})[seed] = json.loads(path.read_text())
    seeds = sorted(set().union(*found.values()))
    kept = [config for config in sorted(found) if len(found[config]) == len(seeds)]
    runs = {
        (index, seed): RecordedRun(run["rows"], run["outcome"])
        for index, config in enumerate(kept)
        for seed, run in found[config].items()
    }
    params = [found[config][seeds[0]]["params"] for config in kept]
    examples = int(tree["train"]["valid_examples"])
    return Recording(tree, params, tuple(seeds), runs, floor, examples)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--configs", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--draw-seed", type=int, default=2026)
    parser.add_argument("--save", type=Path)
    given = parser.parse_args(arguments)
    tree = load_tree(given.file)
    if given.save:
        write_recording(given.save, read(tree, given.folder, floor=0.0))
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    for config, (params, drawn) in enumerate(
        draws(Space.parse(tree), given.configs, given.draw_seed)
    ):
        for seed in range(given.seeds):
            path = given.folder / f"{config}-{seed}.json"
            if path.exists():
                continue
            run = {"params": params, **train(drawn, seed)}
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(run))
            partial.rename(path)
            last = run["rows"][-1]
            print(
                f"{path.stem}: {run['outcome']}, exact accuracy {last['exact_accuracy']:.3f}, "
                f"{run['cpu_seconds']:.1f} CPU s",
                flush=True,
            )


if __name__ == "__main__":
    main()
