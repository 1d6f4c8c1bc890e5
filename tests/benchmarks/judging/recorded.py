"""The committed recording of `arrows4` as a family: 104 configs over six seeds.

Three seeds feed a sweep and the other three are the truth, another half for each world, so that
what is called best is the luckiest of noisy means, and no method can find it. Even the three seeds
of all configs would pick worse than it: the family judges how a winner is confirmed, no sampler.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

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
    best = RecordedWorld(recording, split, plan.objective).best()
    return Problem(lambda: RecordedWorld(recording, split, plan.objective), plan, best, "arrows4")
