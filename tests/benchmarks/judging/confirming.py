"""The confirm stage alone, on the recording of `arrows4`: whom does it pick of given finalists?

A sweep of random configs, each with one seed and to its end, hands its best to the confirm stage.
What the pick lacks has two parts: what the best of the finalists lacks, which is the search's
affair, and what the pick lacks compared with that one, which is the confirm stage's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from search.config.plan import Plan
from search.simulator.methods import reseeded
from search.simulator.recording import RecordedRun, read_recording
from search.simulator.simulator import plan_of, simulate
from search.simulator.world import Params, RecordedWorld, splits
from tests.benchmarks.judging.methods import with_settings
from tests.benchmarks.judging.recorded import RECORDING, ceiling

EXPLORED = 26
"""Random configs of a sweep."""
SETTINGS = {
    "the best explored": None,
    "3 finalists, as by default": (),
    "5 finalists": ("stability.candidates=5",),
}


@dataclass
class _Watched(RecordedWorld):
    """A recorded world that notes which configs were confirmed."""

    def __post_init__(self) -> None:
        self.confirmed: list[Params] = []

    def run(self, params: Params, seed: int) -> RecordedRun:
        if seed > 0:
            self.confirmed.append(params)
        return super().run(params, seed)


def lines(repetitions: int) -> Iterator[str]:
    """A line for each setting; regret is from the best of all recorded configs."""
    recording = read_recording(RECORDING)
    plan = plan_of(recording, {"search": {"sampler": "random", "scheduler": "none"}})
    plan = with_settings(plan, [f"search.trials={EXPLORED}"])
    rounds = list(enumerate(splits(recording.seeds, repetitions)))
    yield (
        f"\nconfirm stage alone: {EXPLORED} random configs of the recording explored, "
        f"{repetitions} sweeps; mean regret, and how much of it is the confirm stage's"
    )
    everything = [ceiling(RecordedWorld(recording, split, plan.objective)) for _, split in rounds]
    for name, settings in SETTINGS.items():
        chosen = plan if settings is None else with_settings(plan, list(settings))
        found = np.array(
            [
                _parts(_Watched(recording, split, plan.objective), chosen, seed, settings)
                for seed, split in rounds
            ]
        )
        (whole, own, runs), errors = found.mean(axis=0), found.std(axis=0) / np.sqrt(len(found))
        share = "" if settings is None else f", {own:.4f} +-{errors[1]:.4f} of it the stage's"
        yield f"  {name:<28} {whole:.4f} +-{errors[0]:.4f}{share}; {runs:.1f} further runs"
    yield f"  {'three seeds of every config':<28} {np.mean(everything):.4f}: what all compute picks"


def _parts(world: _Watched, plan: Plan, seed: int, settings: object) -> tuple[float, float, float]:
    """Regret, the confirm stage's part of it, and its runs."""
    found = simulate(world, reseeded(plan, seed), confirm=settings is not None)
    merit = plan.objective.merit
    regret = merit(world.best()) - merit(found.quality)
    best = max((merit(world.truth(params)) for params in world.confirmed), default=np.nan)
    return regret, best - merit(found.quality), len(world.confirmed)
