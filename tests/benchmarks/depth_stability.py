"""Which configs hold when they are run deeper than trained, what goes with it, what foretells it.

    python -m tests.benchmarks.depth_stability FOLDER               # runs what is missing
    python -m tests.benchmarks.depth_stability FOLDER --save FILE.parquet
    python -m tests.benchmarks.depth_stability FOLDER --space arrows4

Random configs of `spaces/depth-sudoku6.yaml` or `depth-arrows4.yaml`, each over the same seeds at
equal compute, are evaluated at 1, 4, 16 and 64 times the supervision steps of their training, by
their last answer, on the same puzzles. What may foretell a loss is taken at the trained depth
alone: the spectral radius of the recursion's Jacobian over training, the residual of the state, and
answers that still change.

Each run is one JSON file of FOLDER, so that an interrupted series goes on. A run takes about 15 CPU
seconds with the compiled step, 30 to 60 where that does not know the config.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.config.file import load_tree
from search.space.space import Space
from tests.benchmarks.idle import give_way, wait_for_room
from tests.benchmarks.record import draws

SPACES = {
    name: Path(__file__).parent / f"spaces/depth-{name}.yaml" for name in ("sudoku6", "arrows4")
}
DEPTHS = (1, 4, 16, 64)
PUZZLES = 160
LEARNT = 0.3
"""Exact accuracy from which a run can lose something."""
LOST = 0.05
"""Exact accuracy that a run loses which does not hold."""
FEWEST = 4
"""Runs that lose, and runs that hold, from which an AUC is given."""
RESAMPLES = 2000

Run = Mapping[str, Any]
Values = NDArray[np.float64]


def measure(tree: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train one config with one thread, and look at it at every depth."""
    import torch

    from trm.config import experiment_from
    from trm.evaluation import subset
    from trm.files.run_folder import cache_folder
    from trm.thought.config import NoiseConfig
    from trm.thought.points import point
    from trm.thought.rollouts import record
    from trm.training.trainer import Trainer

    torch.set_num_threads(1)
    config = experiment_from({**tree, "train": {**tree["train"], "seed": seed, "threads": 1}})
    begun = time.process_time()
    trainer = Trainer(config, config.task.build(cache_folder()))
    rows = [report.row() for report in trainer.run()]
    trained, task, model = config.model.halt_max_steps, trainer.task, trainer.model
    found: dict[str, Any] = {
        "diverged": bool(rows[-1]["diverged"]),
        "rows": [{name: row[name] for name in KEPT} for row in rows],
        "train_seconds": time.process_time() - begun,
    }
    if not found["diverged"]:
        valid = subset(task.split("valid"), PUZZLES)
        with trainer.ema.swapped(model) if trainer.ema else nullcontext():
            recording = record(
                model, task, valid, [trained * DEPTHS[-1]], noise=NoiseConfig(),
                batch_size=config.train.eval_batch_size, device=trainer.device,
            )  # fmt: skip
        for name in ("q", "best_q"):
            points = [point(recording, trained * depth, 1, picks=(name,)) for depth in DEPTHS]
            found[name] = [float(one.picked[name].mean()) for one in points]
        [rollout] = recording.rollouts
        found["residuals"] = rollout.residual[:trained].mean(axis=1).tolist()
        if trained > 1:
            changed = rollout.answer[trained - 1] != rollout.answer[trained - 2]
            found["changed"] = float(changed.mean())
        found["examples"] = len(valid)
    found["cpu_seconds"] = time.process_time() - begun
    return found


KEPT = (
    "progress", "exact_accuracy", "spectral_radius", "residual_H", "residual_L", "halt_auc",
    "update_ratio", "grad_norm_max", "q_max",
)  # fmt: skip
"""Columns of the reports that are kept."""


def _slope(run: Run, column: str) -> float:
    """Of the logarithm over the share of compute, by least squares over the last two thirds."""
    rows = [r for r in run["rows"] if r[column] and r["progress"] > 0.3]
    if len(rows) < 2:
        return math.nan
    x = np.array([row["progress"] for row in rows])
    y = np.log([row[column] for row in rows])
    return float(np.polyfit(x, y, 1)[0])


def _last(run: Run, column: str) -> float:
    value = run["rows"][-1][column]
    return math.nan if value is None else float(value)


def _distance(run: Run) -> float:
    """How far the answer state is from a fixed point, in its own norm, if the map were linear.

    residual x radius / (1 - radius), Banach's bound with the radius in the place of the constant of
    contraction; the residual times 1000 where the radius is 1 or more.
    """
    radius, residual = _last(run, "spectral_radius"), _last(run, "residual_H")
    return residual * (radius / (1 - radius) if radius < 0.999 else 1000.0)


FEATURES: Mapping[str, Callable[[Run], float]] = {
    "spectral radius, last": lambda run: _last(run, "spectral_radius"),
    "spectral radius, trend": lambda run: _slope(run, "spectral_radius"),
    "residual of z_H, last": lambda run: _last(run, "residual_H"),
    "residual of z_H, trend": lambda run: _slope(run, "residual_H"),
    "residual of z_L, last": lambda run: _last(run, "residual_L"),
    "residual: last step over the one before": lambda run: (
        run["residuals"][-1] / max(run["residuals"][-2], 1e-9)
        if len(run["residuals"]) > 1 else math.nan
    ),
    "residual of z_H times spectral radius": lambda run: (
        _last(run, "residual_H") * _last(run, "spectral_radius")
    ),
    "distance left": lambda run: _distance(run),
    "answers that change at the last step": lambda run: run.get("changed", math.nan),
    "1 - exact accuracy": lambda run: 1.0 - run["q"][0],
}  # fmt: skip
"""What is known at the trained depth; more of each is thought to be worse."""


def drop(run: Run, depth: int) -> float:
    """Exact accuracy that a run loses at a depth."""
    return float(run["q"][0] - run["q"][DEPTHS.index(depth)])


def learnt(runs: Sequence[Run]) -> list[Run]:
    """The runs that have something to lose."""
    return [run for run in runs if not run["diverged"] and run["q"][0] >= LEARNT]


def auc_with_interval(
    scores: Values, unstable: NDArray[np.bool_], groups: NDArray[np.int64]
) -> tuple[float, float, float]:
    """The AUC and its 90 % interval, by resampling whole configs: seeds of one are alike."""
    from trm.learning.halting_quality import auc

    rng, configs = np.random.default_rng(0), np.unique(groups)
    rows = {config: np.flatnonzero(groups == config) for config in configs}
    found = []
    for _ in range(RESAMPLES):
        chosen = np.concatenate([rows[c] for c in rng.choice(configs, len(configs))])
        if 0 < unstable[chosen].sum() < len(chosen):
            found.append(auc(scores[chosen], unstable[chosen]))
    low, high = np.quantile(found, [0.05, 0.95]) if found else (math.nan, math.nan)
    return auc(scores, unstable), float(low), float(high)


def by_config(runs: Sequence[Run]) -> dict[int, list[Run]]:
    """Runs by config."""
    found: dict[int, list[Run]] = {}
    for run in runs:
        found.setdefault(run["config"], []).append(run)
    return found


def _accuracy(runs: Sequence[Run], depth: int, name: str = "q") -> float:
    """The mean over a config's seeds, a diverged one at 0."""
    at = DEPTHS.index(depth)
    return float(np.mean([0.0 if run["diverged"] else run[name][at] for run in runs]))


def report(tree: Mapping[str, Any], runs: Sequence[Run]) -> Iterator[str]:
    """The tables of a dated result."""
    able, configs = learnt(runs), by_config(runs)
    cpu = [run["cpu_seconds"] for run in runs]
    yield (
        f"{len(runs)} runs of {len(configs)} configs, {np.median(cpu):.0f} CPU s each in the "
        f"median; {len(able)} reach an exact accuracy of {LEARNT} at their trained depth, on "
        f"{able[0]['examples']} puzzles."
    )
    yield "\n| depth | lose more than 0.05 | lose more than 0.2 | mean loss | worst loss |"
    yield "|---|---|---|---|---|"
    for depth in DEPTHS[1:]:
        drops = np.array([drop(run, depth) for run in able])
        yield (
            f"| {depth}x | {(drops > LOST).sum()} of {len(able)} | {(drops > 0.2).sum()} "
            f"| {drops.mean():.3f} | {drops.max():.3f} |"
        )
    yield "\nBest config by the mean over its seeds, judged at one depth and looked at in all:\n"
    yield "| judged at | config | " + " | ".join(f"{depth}x" for depth in DEPTHS) + " |"
    yield "|---" * (2 + len(DEPTHS)) + "|"
    for depth in (1, 16):
        best = max(configs, key=lambda config: _accuracy(configs[config], depth))
        values = " | ".join(f"{_accuracy(configs[best], d):.3f}" for d in DEPTHS)
        yield f"| {depth}x | {best} | {values} |"
    seeds = [own for own in by_config(able).values() if len(own) > 1]
    pairs = np.array([[drop(run, 16) for run in own[:2]] for own in seeds])
    if len(pairs) > 2:
        agree = np.corrcoef(pairs.T)[0, 1]
        yield (
            f"\nLoss at 16x of two seeds of one config: correlation {agree:.2f} over {len(pairs)} "
            f"configs."
        )
    unstable = sum(drop(run, 16) > LOST for run in able)
    if min(unstable, len(able) - unstable) < FEWEST:
        yield f"\n{unstable} of {len(able)} lose more than {LOST} at 16x: too few for an AUC."
    else:
        yield from _foretold(able)
    yield from _importance(tree, configs)


def _foretold(able: Sequence[Run]) -> Iterator[str]:
    """How well each feature ranks the runs that lose above those that hold."""
    yield "\nAUC of what is known at the trained depth, for a loss of more than 0.05 at 16x:\n"
    yield "| feature | AUC | 90 % | runs | unstable |"
    yield "|---|---|---|---|---|"
    for name, feature in FEATURES.items():
        known = [(feature(run), run) for run in able]
        known = [(value, run) for value, run in known if math.isfinite(value)]
        scores = np.array([value for value, _ in known])
        lost = np.array([drop(run, 16) > LOST for _, run in known])
        groups = np.array([run["config"] for _, run in known])
        value, low, high = auc_with_interval(scores, lost, groups)
        yield (
            f"| {name} | {value:.2f} | {low:.2f} to {high:.2f} | {len(known)} | {int(lost.sum())} |"
        )


def _importance(tree: Mapping[str, Any], configs: Mapping[int, Sequence[Run]]) -> Iterator[str]:
    """What the loss at 16x and the accuracy at 1x depend on, as `trm importance` finds it."""
    yield "\nImportance (fANOVA's share of the variance over configs that learnt; PED-ANOVA's):\n"
    yield "| setting | loss at 16x | PED | accuracy at 1x | PED |"
    yield "|---|---|---|---|---|"
    own = {c: learnt(runs) for c, runs in configs.items() if learnt(runs)}
    lost = _shares(tree, {c: (-float(np.mean([drop(run, 16) for run in runs])), runs[0]["params"])
                          for c, runs in own.items()})  # fmt: skip
    exact = _shares(tree, {c: (float(np.mean([run["q"][0] for run in runs])), runs[0]["params"])
                           for c, runs in own.items()})  # fmt: skip
    for name in sorted(lost, key=lambda name: -lost[name][0]):
        values = (*lost[name], *exact[name])
        yield f"| `{name}` | " + " | ".join(f"{value:.2f}" for value in values) + " |"


def _shares(
    tree: Mapping[str, Any], scores: Mapping[int, tuple[float, dict[str, Any]]]
) -> dict[str, tuple[float, float]]:
    """fANOVA and PED-ANOVA of scores of configs, by parameter."""
    from search.analysis.importance import importances
    from search.config.plan import simulated_plan
    from search.ledger.ledger import Ledger

    objective = {"column": "exact_accuracy", "direction": "maximize"}
    plan = simulated_plan({**tree, "search": {"objective": objective}})
    with tempfile.TemporaryDirectory() as folder, Ledger.create(Path(folder) / "run") as ledger:
        for score, params in scores.values():
            trial = ledger.add_trial(
                stage="explore", params=params, config=plan.space.apply(params), seed=0
            )
            ledger.begin_attempt(trial.id)
            ledger.finish(trial.id, "completed", score)
        found = importances(plan, ledger)
    [target] = [one for one in found.targets if one.name == "score"]
    return {name: (share, target.ped_anova.get(name, 0.0)) for name, share in target.fanova.items()}


def read(folder: Path) -> list[dict[str, Any]]:
    """The runs of a folder, in order."""
    return [
        json.loads(path.read_text())
        for path in sorted(folder.glob("*-*.json"), key=lambda path: path.stem.zfill(12))
    ]


def save(runs: Sequence[Run], path: Path) -> None:
    """One row a run as Parquet: its settings as JSON, its accuracy by depth, its curves."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    flat = [
        {
            **{key: run.get(key) for key in ("config", "seed", "diverged", "cpu_seconds")},
            "examples": run.get("examples"),
            "params": json.dumps(run["params"]),
            **{f"accuracy_{d}x": run["q"][i] if "q" in run else None for i, d in enumerate(DEPTHS)},
            **{
                f"best_q_{d}x": run["best_q"][i] if "q" in run else None
                for i, d in enumerate(DEPTHS)
            },
            "changed": run.get("changed"),
            "residuals": run.get("residuals"),
            **{name: [row[name] for row in run["rows"]] for name in KEPT},
        }
        for run in runs
    ]
    pq.write_table(pa.Table.from_pylist(flat), path, compression="zstd")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--space", choices=SPACES, default="sudoku6")
    parser.add_argument("--configs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--most-load", type=float, default=math.inf, help="wait for less")
    parser.add_argument("--save", type=Path, help="write the runs as Parquet and run nothing")
    args = parser.parse_args(arguments)
    args.folder.mkdir(parents=True, exist_ok=True)
    tree = load_tree(SPACES[args.space])
    if args.save is None:
        give_way()
        for seed in range(args.seeds):
            for config, (params, drawn) in enumerate(draws(Space.parse(tree), args.configs, 2026)):
                path = args.folder / f"{config}-{seed}.json"
                if path.exists():
                    continue
                load = wait_for_room(args.most_load)
                found = {"config": config, "seed": seed, "params": params, "load": load}
                found |= measure(drawn, seed)
                partial = path.with_suffix(".partial")
                partial.write_text(json.dumps(found))
                partial.rename(path)
                shares = " ".join(f"{share:.3f}" for share in found.get("q", []))
                print(f"{path.stem}: {shares}  {found['cpu_seconds']:.0f} CPU s", flush=True)
    runs = read(args.folder)
    if args.save is not None:
        save(runs, args.save)
    print("\n".join(report(tree, runs)))


if __name__ == "__main__":
    main()
