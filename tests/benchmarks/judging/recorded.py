"""The committed recording of `arrows4` as a family: 104 configs over six seeds.

Three seeds feed a sweep and the other three are the truth, another half for each world, so that
what is called best is the luckiest of noisy means, and no method can find it. Even the three seeds
of all configs would pick worse than it: the family judges how a winner is confirmed, no sampler.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from search.config.plan import Plan
from search.simulator.recording import Recording, read_recording
from search.simulator.simulator import plan_of
from search.simulator.world import RecordedWorld, splits
from tests.benchmarks.judging.problem import Problem

RECORDING = Path(__file__).parents[2] / "data" / "recordings" / "arrows4.parquet"
HALVES = 20
"""Ways to take three of six seeds."""


@cache
def _known() -> tuple[Recording, Plan]:
    recording = read_recording(RECORDING)
    return recording, plan_of(recording)


def recorded(number: int) -> Problem:
    """The recording, with the half of its seeds that belongs to a repetition."""
    recording, plan = _known()
    split = splits(recording.seeds, number + 1)[-1]
    world = RecordedWorld(recording, split, plan.objective)
    return Problem(
        lambda: RecordedWorld(recording, split, plan.objective),
        plan, world.best(), "arrows4", ceiling(world),
    )  # fmt: skip


def ceiling(world: RecordedWorld) -> float:
    """Regret of the config that is best over all seeds that a sweep may see."""
    recording, objective = world.recording, world.objective
    means = [
        objective.merit(recording.quality(config, world.split.search, objective))
        for config in range(len(recording.params))
    ]
    pick = recording.quality(int(np.argmax(means)), world.split.truth, objective)
    return objective.merit(world.best()) - objective.merit(pick)
