"""How much a sweep may cost: wall time, device-hours and FLOPs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from search.ledger import Trial
from trm.component import Component


class LimitsConfig(Component):
    """What a whole sweep may cost, the confirm stage included; null is no limit.

    No trial starts that would leave too little for what comes after it: the running trials, and
    the confirm stage at the cost of the trials so far. Whatever still runs when a limit is met
    (an estimate may err) stops at its last report and goes on with --resume and a higher limit.

    Attributes:
        hours: wall time, of all drivers of the run together.
        device_hours: seconds of training and evaluation times the devices that a trial has (GPUs,
            or CPU cores without any), in hours.
        flops: training FLOPs.
    """

    hours: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    device_hours: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    flops: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)


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


def still_to_come(
    trials: Mapping[int, Trial],
    runs: float,
    *,
    budget: float,
    devices: float,
    parallel: int,
    seconds: float,
) -> Cost:
    """The cost of `runs` more full training runs, at the pace of the trials so far.

    Args:
        runs: full runs; parts count as such.
        budget: FLOPs of one.
        parallel: how many run at once.
        seconds: of one, for as long as no trial has reported.
    """
    done = [trial for trial in trials.values() if trial.compute > 0]
    if done:
        seconds = budget * sum(t.seconds for t in done) / sum(t.compute for t in done)
    return Cost(runs * seconds / parallel, runs * seconds * devices, runs * budget)


def reached(limits: LimitsConfig, cost: Cost) -> str | None:
    """The limit that a cost meets, in words; None if none.

    >>> reached(LimitsConfig(hours=2), Cost(seconds=7300))
    'search.limits.hours 2'
    """
    for name, limit, value in (
        ("hours", limits.hours, cost.seconds / 3600.0),
        ("device_hours", limits.device_hours, cost.device_seconds / 3600.0),
        ("flops", limits.flops, cost.flops),
    ):
        if limit is not None and value >= limit:
            return f"search.limits.{name} {limit:g}"
    return None
