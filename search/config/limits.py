"""How much a sweep may cost: wall time, device-hours and FLOPs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field

from curricula.component import Component
from search.ledger.lineage import device_seconds
from search.ledger.trial import Trial

ROOM = 0.005
"""Of `flops`, that may be spent beyond it: a run ends with the first step past its mark, so that as
many runs as were counted cost slightly more."""


class LimitsConfig(Component):
    """What a whole sweep may cost, the confirm stage included; null is no limit.

    No new trial starts that would leave too little for those that run and for the confirm stage,
    at the pace of the trials so far. If that estimate was too low and a limit is met, everything
    stops at its last report; --resume with a higher limit goes on. A population breeds as planned:
    its trials need each other.

    Attributes:
        hours: wall time, of all drivers of the run together.
        device_hours: seconds of training and evaluation times the devices that a trial has (GPUs,
            or CPU cores without any), in hours.
        flops: training FLOPs; whole runs may end up to half a percent beyond.
        gain: of the first objective, in its own units: no new config begins once all those that are
            left are expected to make the best one less better than this, which a model of every
            seed and curve says from 8 completed configs on.
    """

    hours: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    device_hours: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    flops: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    gain: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)

    @property
    def cost(self) -> bool:
        """Whether anything is limited that runs cost."""
        return any(limit is not None for limit in (self.hours, self.device_hours, self.flops))


@dataclass(frozen=True)
class Cost:
    """What was, or will be, spent.

    Attributes:
        seconds: of wall time.
        device_seconds: of training and evaluation, times the devices.
        flops: of training.
    """

    seconds: float = 0.0
    device_seconds: float = 0.0
    flops: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.seconds + other.seconds,
            self.device_seconds + other.device_seconds,
            self.flops + other.flops,
        )


@dataclass
class Meter:
    """What a run has cost, and whether its limits leave room for more.

    Attributes:
        limits: of the file.
        budget: FLOPs of a full run.
        devices: GPUs, or CPU cores, that a trial has unless it says that it had others.
        parallel: how many trials run at once, as it is now.
        wall_seconds: gives the wall time so far.
        spent: gives training FLOPs and seconds of the trials so far.
        trials: of the run, by id.
        gpus: whether the devices are GPUs.
    """

    limits: LimitsConfig
    budget: float
    devices: float
    parallel: int
    wall_seconds: Callable[[], float]
    spent: Callable[[], tuple[float, float]]
    trials: Mapping[int, Trial]
    gpus: bool = False

    def cost(self) -> Cost:
        """What the trials have cost, as far as they reported."""
        flops, _ = self.spent()
        return Cost(self.wall_seconds(), self._device_seconds(), flops)

    def met(self) -> str | None:
        """The limit that is met, in words; None if none."""
        return reached(self.limits, self.cost())

    def leaves_room(self, runs: float) -> bool:
        """Whether another trial of the search may start.

        Args:
            runs: full runs that come after the search.
        """
        if not self.limits.cost:
            return True
        explored = [trial for trial in self.trials.values() if trial.explores]
        shares = [trial.compute / self.budget for trial in explored if trial.ended]
        mean = sum(shares) / len(shares) if shares else 1.0
        running = sum(
            _left(trial.compute / self.budget, shares)
            for trial in explored
            if not trial.ended and not trial.paused
        )
        return reached(self.limits, self.cost() + self.to_come(mean + running + runs)) is None

    def to_come(self, runs: float) -> Cost:
        """The cost of more full runs (parts count as such), at the pace of the trials so far."""
        flops, seconds = self.spent()
        full = runs * self.budget / flops if flops else 0.0
        return Cost(
            full * seconds / self.parallel, full * self._device_seconds(), runs * self.budget
        )

    def _device_seconds(self) -> float:
        return device_seconds(self.trials, self.devices, gpus=self.gpus)


def _left(had: float, shares: Sequence[float]) -> float:
    """Of a full run, what a trial that has had so much is still to have: as much as those that
    ended beyond it had beyond it, on average; all of it if none did.
    """
    beyond = [share - had for share in shares if share > had]
    return sum(beyond) / len(beyond) if beyond else max(1.0 - had, 0.0)


def reached(limits: LimitsConfig, cost: Cost) -> str | None:
    """The limit that a cost meets, in words; None if none.

    >>> reached(LimitsConfig(hours=2), Cost(seconds=7300))
    'search.limits.hours 2'
    """
    for name, limit, value in (
        ("hours", limits.hours, cost.seconds / 3600.0),
        ("device_hours", limits.device_hours, cost.device_seconds / 3600.0),
        ("flops", limits.flops, cost.flops / (1 + ROOM)),
    ):
        if limit is not None and value >= limit:
            return f"search.limits.{name} {limit:g}"
    return None
