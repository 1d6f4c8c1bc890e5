"""What a simulated sweep trains in place of models: recorded runs, or any that can be computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from random import Random
from typing import Any, Protocol

from search.objectives.objective import Objective
from search.simulator.recording import RecordedRun, Recording

Params = Mapping[str, Any]


class World(Protocol):
    """Runs of every config with every seed, and how good a config really is.

    It may remember what a sweep has asked for, so each sweep has its own.
    """

    @property
    def floor(self) -> float:
        """The task's, which a failure scores in exact accuracy."""

    @property
    def examples(self) -> int | None:
        """How many examples a score is a share of; None if unknown."""

    @property
    def seeds(self) -> int | None:
        """How many seeds a sweep may see; None for any number."""

    def stands_for(self, params: Params) -> Params:
        """The config that trains in place of a suggestion: itself, if there are runs of it."""

    def run(self, params: Params, seed: int) -> RecordedRun:
        """A run of a config from `stands_for`.

        Args:
            seed: from 0; the first `search.seeds` explore, the others confirm.
        """

    def truth(self, params: Params) -> float:
        """The true mean of the first objective of a config from `stands_for`."""


@dataclass(frozen=True)
class SeedSplit:
    """Which recorded seeds a simulated sweep sees, and which say how good its pick is.

    Attributes:
        search: the first (the first `search.seeds`) are the explore trials', the others are the
            confirm stage's.
        truth: no simulated trial has them, unless there is only one seed in all.
    """

    search: tuple[int, ...]
    truth: tuple[int, ...]


def splits(seeds: tuple[int, ...] | range, repeat: int, seed: int = 0) -> list[SeedSplit]:
    """A split for each repetition: half the seeds, rounded up, search; all halves in turn."""
    if len(seeds) == 1:
        return [SeedSplit(tuple(seeds), tuple(seeds))] * repeat
    random = Random(seed)
    halves: list[tuple[int, ...]] = []
    found = []
    for _ in range(repeat):
        if not halves:
            halves = list(combinations(seeds, (len(seeds) + 1) // 2))
            random.shuffle(halves)
        half = list(halves.pop())
        random.shuffle(half)
        found.append(SeedSplit(tuple(half), tuple(s for s in seeds if s not in half)))
    return found


@dataclass
class RecordedWorld:
    """A recording as a world: a suggestion stands for the nearest config not drawn before."""

    recording: Recording
    split: SeedSplit
    objective: Objective
    _configs: dict[frozenset[tuple[str, Any]], int] = field(default_factory=dict)

    @property
    def floor(self) -> float:
        return self.recording.floor

    @property
    def examples(self) -> int | None:
        return self.recording.examples

    @property
    def seeds(self) -> int:
        return len(self.split.search)

    def stands_for(self, params: Params) -> Params:
        key = frozenset(params.items())
        if key not in self._configs:
            drawn = set(self._configs.values())
            self._configs[key] = self.recording.nearest(params, drawn)
        return self.recording.params[self._configs[key]]

    def run(self, params: Params, seed: int) -> RecordedRun:
        return self.recording.runs[self._index(params), self.split.search[seed]]

    def truth(self, params: Params) -> float:
        return self.recording.quality(self._index(params), self.split.truth, self.objective)

    def best(self) -> float:
        """The true quality of the best recorded config."""
        qualities = [
            self.objective.merit(self.recording.quality(i, self.split.truth, self.objective))
            for i in range(len(self.recording.params))
        ]
        return self.objective.merit(max(qualities))

    def _index(self, params: Params) -> int:
        return self.recording.index[frozenset(params.items())]
