"""Who picks the best config at equal training compute, in the simulator: ours, random, stock Tune.

The recording (`tests/data/recordings/arrows4.parquet`, with a card) holds 104 configs over 6 seeds.
Three seeds feed search and confirm, the other three say how good the pick really is, another half
in each repetition. A suggestion stands for the nearest recorded config, for all alike; all try the
file's default values first. Compute is in full training runs, what confirming costs included.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import optuna

from search.simulator.methods import best_quality, reseeded
from search.simulator.recording import Recording, read_recording
from search.simulator.simulator import SeedSplit, Simulated, plan_of, simulate, splits

RECORDING = Path(__file__).parents[1] / "data" / "recordings" / "arrows4.parquet"
REPEAT = 100
WORKERS = 4
COMPUTE = (26, 52)
TARGET = 0.95
"""Share of the best recorded config's true quality."""
OURS = "ours"

Run = Callable[..., Simulated]


def contestants(recording: Recording) -> dict[str, Run]:
    """By name, a function of (split, seed, compute) that simulates one sweep."""
    from tests.benchmarks.stock_tune import simulate_stock

    ours = plan_of(recording)
    by_loss = plan_of(recording, {"search": {"scheduler": {"name": "asha", "metric": "lm_loss"}}})
    plain = plan_of(recording, {"search": {"sampler": "random", "scheduler": "none"}})

    def run(function: Run, plan: object, split: SeedSplit, seed: int, compute: float) -> Simulated:
        return function(
            recording, reseeded(plan, seed), split, workers=WORKERS, compute=compute * ours.budget
        )

    return {
        OURS: partial(run, simulate, ours),
        "ours, rungs ranked by lm_loss": partial(run, simulate, by_loss),
        "random search": partial(run, partial(simulate, confirm=False), plain),
        "stock Ray Tune": partial(run, simulate_stock, plain),
        "stock Ray Tune, first rung at 1/4": partial(
            run, partial(simulate_stock, grace_period=3, reduction_factor=3), plain
        ),
    }


def main() -> None:
    logging.getLogger("ray").setLevel(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    recording = read_recording(RECORDING)
    plan = plan_of(recording)
    rounds = splits(recording.seeds, REPEAT)
    best = [best_quality(recording, plan, split) for split in rounds]
    print(
        f"{len(recording.params)} configs x {len(recording.seeds)} seeds, {REPEAT} repetitions, "
        f"{WORKERS} workers; true quality of the best recorded config {np.mean(best):.3f}"
    )
    for compute in COMPUTE:
        found = {
            name: [run(split, seed, compute) for seed, split in enumerate(rounds)]
            for name, run in contestants(recording).items()
        }
        print(f"{compute} full runs of compute each:")
        targets = [TARGET * quality for quality in best]
        for name, sweeps in found.items():
            report(name, sweeps, found[OURS], targets, compute, plan.budget, recording)


def report(
    name: str,
    sweeps: Sequence[Simulated],
    ours: Sequence[Simulated],
    targets: Sequence[float],
    compute: float,
    budget: float,
    recording: Recording,
) -> None:
    """One line on a method, and one on ours against it."""
    objective = plan_of(recording).objective
    quality = np.array([sweep.quality for sweep in sweeps])

    def needed(sweeps: Sequence[Simulated]) -> np.ndarray:
        reached = [s.compute_to(t, objective) for s, t in zip(sweeps, targets, strict=True)]
        return np.minimum(np.array(reached) / budget, compute)

    mine, theirs = needed(ours), needed(sweeps)
    low, middle, high = np.quantile(quality, [0.25, 0.5, 0.75])
    spent = np.mean([sweep.compute for sweep in sweeps]) / budget
    trials = np.mean([sweep.trials for sweep in sweeps])
    print(
        f"  {name:<34} true quality {quality.mean():.3f} (quartiles {low:.3f} {middle:.3f} "
        f"{high:.3f}), {theirs.mean():.1f} runs to {TARGET:.0%} of the best "
        f"({np.sum(theirs < compute)} of {len(sweeps)} reach it), {trials:.0f} trials, "
        f"{spent:.1f} runs spent"
    )
    if sweeps is ours:
        return
    gain = np.array([sweep.quality for sweep in ours]) - quality
    print(
        f"    ours picks better by {gain.mean():+.3f} {interval(gain)}, in {np.sum(gain > 0)} of "
        f"{len(gain)} repetitions (equal in {np.sum(gain == 0)}); compute to the target: "
        f"ratio {mine.mean() / theirs.mean():.2f} {ratio_interval(mine, theirs)}"
    )


def interval(differences: np.ndarray, draws: int = 10_000) -> str:
    """95 % bootstrap interval of the mean of paired differences."""
    rng = np.random.default_rng(0)
    means = rng.choice(differences, (draws, len(differences))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"[{low:+.3f}, {high:+.3f}]"


def ratio_interval(mine: np.ndarray, theirs: np.ndarray, draws: int = 10_000) -> str:
    """95 % bootstrap interval of the ratio of means, pairs drawn together."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(mine), size=(draws, len(mine)))
    ratios = mine[chosen].mean(axis=1) / theirs[chosen].mean(axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return f"[{low:.2f}, {high:.2f}]"
