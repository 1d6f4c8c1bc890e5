"""Real sweeps of a wide space at equal compute: ours, random search, stock Ray Tune, the defaults.

    python -m tests.benchmarks.real_sweeps FOLDER                     # makes what is missing
    python -m tests.benchmarks.real_sweeps FOLDER --methods random stock --repetitions 5

Each sweep has the training FLOPs of `--runs` full runs, one run at a time on one thread: ours is
`trm sweep` with its own defaults and that limit, its confirm stage included; random search trains
its draws to the end; stock Ray Tune is `OptunaSearch` and `ASHAScheduler` with their own defaults,
stopped once its trials have used as much. Each picks by its own rule, and the picked config is
trained over the same fresh seeds, whose test accuracy is the truth of it.

Every sweep and every fresh seed is a JSON file of FOLDER, so that an interrupted series goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from search.config.file import load_tree
from search.space.space import Space
from tests.benchmarks.idle import give_way, wait_for_room
from tests.benchmarks.record import draws, train
from tests.support.folders import ROOT

FILE = Path(__file__).parent / "spaces/wide-sudoku6.yaml"
METHODS = ("ours", "random", "stock", "defaults")
FRESH = 9000
"""The first fresh seed: no sweep trains with it."""
PROMISED = 2
"""Promise runs of the winner, and of the defaults: the least that `trm sweep` makes."""
CHOOSING = ("explore", "confirm")
RESAMPLES = 4000
_TRM = "import sys; from search.cli import main; sys.exit(main(sys.argv[1:]))"

Tree = Mapping[str, Any]


def ours(path: Path, runs: int, repetition: int, room: Path) -> dict[str, Any]:
    """The winner of `trm sweep`, whose explore and confirm stages share the compute."""
    from search.ledger.reader import read_trials
    from search.sweep.run import Run

    flops = load_tree(path)["train"]["budget"]["flops"]
    folder = room / f"ours-{repetition}"
    sets = [
        # Promise runs choose nothing: they come on top.
        f"search.limits.flops={(runs + 2 * PROMISED) * flops}",
        f"search.seed={repetition}",
        f"stability.promise_seeds={PROMISED}",
        "stability.deep=false",
    ]
    command = [
        sys.executable, "-c", _TRM, "sweep", str(path), "--out", str(folder), "--resume",
        "--trials", str(8 * runs), "--parallel", "1",
        *(part for one in sets for part in ("--set", one)),
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL)
    run = Run(folder)
    result = run.best()
    assert result is not None
    trained = read_trials(folder)
    trials = [trial for trial in trained.values() if trial.stage in CHOOSING]
    return {
        "tree": dict(run.plan.space.apply(trained[result.winner].params)),
        "flops": sum(trial.compute for trial in trials),
        "configs": len({json.dumps(trial.params, sort_keys=True) for trial in trials}),
        "said": result.winning.mean,
    }


def random(path: Path, runs: int, repetition: int, room: Path) -> dict[str, Any]:
    """The best last report of independent draws, each trained to the end with a seed of its own."""
    del room
    tree = load_tree(path)
    found = []
    for number, (_, drawn) in enumerate(draws(Space.parse(tree), runs, 100 + repetition)):
        done = train(drawn, 1000 * (repetition + 1) + number)
        last = done["rows"][-1]["exact_accuracy"] if done["outcome"] == "completed" else -1.0
        found.append((last, drawn))
    said, best = max(found, key=lambda one: one[0])
    flops = runs * tree["train"]["budget"]["flops"]
    return {"tree": best, "flops": flops, "configs": runs, "said": said}


def suggested_params(space: Space, trial: Any) -> dict[str, Any]:
    """The parameters of a draw of Optuna's; a function of a module, because Tune pickles it."""
    from tests.benchmarks.stock_tune import suggested

    return space.draw(lambda _, distribution: suggested(trial, distribution))[0]


def stock(path: Path, runs: int, repetition: int, room: Path) -> dict[str, Any]:
    """What `ResultGrid.get_best_result` names after `OptunaSearch` and `ASHAScheduler`."""
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    from tests.benchmarks.real_training import RealTraining, UntilSpent

    tree = load_tree(path)
    space, reports = Space.parse(tree), int(tree["train"]["reports"])
    goal = {"metric": "exact_accuracy", "mode": "max"}
    searcher = OptunaSearch(
        partial(suggested_params, space),
        **goal, seed=repetition,
        points_to_evaluate=[space.default()[0]],
    )  # fmt: skip
    scheduler = ASHAScheduler(**goal, max_t=reports)
    spent = UntilSpent(runs * tree["train"]["budget"]["flops"])
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        tuner = tune.Tuner(
            tune.with_parameters(RealTraining, file=str(path), repetition=repetition),
            tune_config=tune.TuneConfig(
                search_alg=searcher, scheduler=scheduler,
                num_samples=20 * runs, reuse_actors=True,
                max_concurrent_trials=1,
            ),
            run_config=tune.RunConfig(
                storage_path=str(room / "stock"), name=str(repetition), stop=spent, verbose=0
            ),
        )  # fmt: skip
        results = tuner.fit()
        best = results.get_best_result(**goal)
    finally:
        ray.shutdown()
    assert best.config is not None
    assert best.metrics is not None
    known = {name: best.config[name] for name in space.parameters if name in best.config}
    return {
        "tree": dict(space.apply(known)), "flops": spent.flops, "configs": len(results),
        "said": best.metrics["exact_accuracy"],
    }  # fmt: skip


def defaults(path: Path, runs: int, repetition: int, room: Path) -> dict[str, Any]:
    """The file's default values, which cost no search."""
    del runs, repetition, room
    return {"tree": Space.parse(load_tree(path)).default()[1], "flops": 0, "configs": 1}


SWEEPS = {"ours": ours, "random": random, "stock": stock, "defaults": defaults}


def fresh(tree: Tree, seed: int) -> dict[str, Any]:
    """One training of a picked config, and its exact accuracy on the test split."""
    import torch

    from trm.config import experiment_from
    from trm.files.run_folder import cache_folder
    from trm.training.trainer import Trainer

    torch.set_num_threads(1)
    config = experiment_from({**tree, "train": {**tree["train"], "seed": seed, "threads": 1}})
    trainer = Trainer(config, config.task.build(cache_folder()))
    last = [*trainer.run()][-1].row()
    failed = bool(last["diverged"] or last["collapsed"])
    found = 0.0 if last["diverged"] else trainer.evaluate(trainer.task.split("test")).exact_accuracy
    return {"failed": failed, "test": found}


def make(given: argparse.Namespace) -> None:
    """Run what has no file yet, one thing after another."""
    for repetition in range(given.repetitions):
        for method in given.methods:
            if method == "defaults" and repetition:
                continue
            path = given.folder / f"{method}-{repetition}.json"
            if not path.exists():
                wait_for_room(given.most_load)
                begun = time.time()
                made = SWEEPS[method](given.file, given.runs, repetition, given.folder)
                write(path, {**made, "seconds": time.time() - begun})
                print(f"{path.stem}: {made['configs']} configs", flush=True)
            tree = json.loads(path.read_text())["tree"]
            for seed in range(given.seeds):
                truth = given.folder / f"{method}-{repetition}-{seed}.json"
                if not truth.exists():
                    wait_for_room(given.most_load)
                    write(truth, fresh(tree, FRESH + seed))


def write(path: Path, tree: Tree) -> None:
    """A JSON file that is there whole or not at all."""
    unfinished = path.with_suffix(".partial")
    unfinished.write_text(json.dumps(tree))
    unfinished.rename(path)


def table(folder: Path, methods: Sequence[str]) -> str:
    """A row a method: its picks' means over fresh seeds, and their mean with its interval."""
    rows = ["| method | sweeps | configs met | full runs | picks' test accuracy | mean | said | "
            "worse than the defaults |", "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    base = mean_of(folder, "defaults", 0)
    for method in methods:
        picks = []
        for repetition in range(1000):
            path = folder / f"{method}-{repetition}.json"
            if not path.exists():
                break
            if not math.isnan(truth := mean_of(folder, method, repetition)):
                picks.append((json.loads(path.read_text()), truth))
        if not picks:
            continue
        truths = np.array([truth for _, truth in picks])
        rng = np.random.default_rng(0)
        means = rng.choice(truths, (RESAMPLES, len(truths))).mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        said = [pick["said"] for pick, _ in picks if pick.get("said") is not None]
        tree = json.loads((folder / f"{method}-0.json").read_text())["tree"]
        full = np.mean([pick["flops"] for pick, _ in picks]) / tree["train"]["budget"]["flops"]
        cells = [
            method, str(len(picks)), f"{np.mean([pick['configs'] for pick, _ in picks]):.0f}",
            f"{full:.1f}", " ".join(f"{truth:.3f}" for truth in truths),
            f"{truths.mean():.3f} [{low:.3f}, {high:.3f}]",
            f"{np.mean(said):.3f}" if said else "", f"{np.sum(truths < base)} of {len(truths)}",
        ]  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def mean_of(folder: Path, method: str, repetition: int) -> float:
    """Of a pick over the fresh seeds that are there; NaN without any."""
    found = [json.loads(path.read_text())["test"]
             for path in sorted(folder.glob(f"{method}-{repetition}-*.json"))]  # fmt: skip
    return float(np.mean(found)) if found else math.nan


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--file", type=Path, default=FILE)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--runs", type=int, default=30, help="full runs that a sweep may cost")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=8, help="fresh seeds of each pick")
    parser.add_argument("--most-load", type=float, default=math.inf)
    given = parser.parse_args(arguments)
    given.folder = given.folder.absolute()
    given.folder.mkdir(parents=True, exist_ok=True)
    give_way()
    make(given)
    print(table(given.folder, given.methods))


if __name__ == "__main__":
    main()
