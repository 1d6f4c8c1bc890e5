"""What a run has cost, how fast it goes, and who is slow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from search.analysis.node_use import workers_of
from search.config.plan import Plan
from search.ledger.book import Book
from search.ledger.lineage import device_seconds, spent
from search.ledger.trial import Trial
from search.logs.console import duration
from trm.files.driver_note import DriverNote

SLOW = 0.5
"""Of the median's speed; a trial below it is slow."""
SILENT = 3.0
"""Times the usual time between reports after which a worker is silent."""
_SHOWN = 3


@dataclass(frozen=True)
class Pace:
    """How fast a run goes, over all of its time with a driver.

    Attributes:
        trials: that get an outcome, an hour.
        reports: an hour.
        flops: of training, a second.
    """

    trials: float
    reports: float
    flops: float

    def text(self) -> str:
        """In a line."""
        return (
            f"pace: {self.trials:.3g} trials and {self.reports:.3g} reports an hour, "
            f"{self.flops:.2e} training FLOPs a second"
        )


@dataclass(frozen=True)
class RunCost:
    """What a run's trials have cost so far.

    Attributes:
        device_hours: seconds of training and evaluation times the devices of a trial, in hours.
        device: `GPU` or `CPU core`.
        money: `cluster.price` times that; None where no price is given.
    """

    device_hours: float
    device: str
    money: float | None

    def text(self) -> str:
        """In a line.

        >>> RunCost(1.25, "GPU", 2.5).text()
        'cost: 1.25 GPU-hours, 2.50 at cluster.price'
        """
        money = "" if self.money is None else f", {self.money:.2f} at cluster.price"
        return f"cost: {self.device_hours:.3g} {self.device}-hours{money}"


@dataclass(frozen=True)
class Straggler:
    """A trial that is slow, silent or in trouble.

    Attributes:
        trial: its number.
        why: in words.
    """

    trial: int
    why: str


def pace_of(book: Book, elapsed: float | None) -> Pace | None:
    """How fast a run goes; None before there is anything to say."""
    compute, _ = spent(book.trials)
    if not elapsed or not compute:
        return None
    ended = sum(trial.ended and trial.attempts > 0 for trial in book.trials.values())
    reports = sum(trial.mark for trial in book.trials.values())
    hours = elapsed / 3600.0
    return Pace(ended / hours, reports / hours, compute / elapsed)


def cost_of(plan: Plan, book: Book, note: DriverNote | None) -> RunCost:
    """What a run's trials have cost, as far as they reported."""
    device, devices = _devices(plan, book, note)
    hours = device_seconds(book.trials, devices, gpus=device == "GPU") / 3600.0
    price = plan.sections.cluster.price
    return RunCost(hours, device, None if price is None else price * hours)


def _devices(plan: Plan, book: Book, note: DriverNote | None) -> tuple[str, float]:
    """What a trial has, and how many: as its driver said, else as the file and its trials say."""
    section = plan.sections.cluster
    share = note.told.get("share") if note is not None else None
    cpus = float(section.cpus_per_trial or plan.evaluated["train"]["threads"])
    gpus = section.gpus_per_trial
    if isinstance(share, dict):
        gpus = float(share.get("gpus", 0.0))  # cores are each trial's own
    elif gpus is None:
        resolved = (trial.provenance.get("resolved") for trial in book.trials.values())
        on_gpu = any(str(one.get("device")).startswith("cuda") for one in resolved if one)
        gpus = 1.0 if on_gpu else 0.0
    return ("GPU", gpus) if gpus else ("CPU core", cpus)


def stragglers(book: Book, note: DriverNote | None) -> list[Straggler]:
    """Running trials that are slow, silent or lose attempts, the worst of each kind first."""
    found: list[Straggler] = []
    for trial in book.trials.values():
        ended = book.attempts.get(trial.id, ())
        lost = [one for one in ended if one.mark == trial.mark and one.cause != "stopped"]
        if lost and not trial.ended:
            where = f" on {lost[-1].host}" if lost[-1].host else ""
            many = "an attempt" if len(lost) == 1 else f"{len(lost)} attempts"
            why = f"lost {many} since its last report, the last{where}: {lost[-1].reason}"
            found.append(Straggler(trial.id, why))
    return [*found, *_slow(book), *_silent(book, note)]


def _slow(book: Book) -> list[Straggler]:
    speeds = {t.id: t.compute / t.seconds for t in book.trials.values() if t.mark and t.seconds > 0}
    if len(speeds) < _SHOWN:
        return []
    usual = median(speeds.values())
    slow = sorted((speed / usual, number) for number, speed in speeds.items())
    return [
        Straggler(number, f"trains at {share:.2f} of the median speed")
        for share, number in slow[:_SHOWN]
        if share < SLOW and not book.trials[number].ended
    ]


def _silent(book: Book, note: DriverNote | None) -> list[Straggler]:
    if note is None or not note.lives:
        return []
    said: list[tuple[float, int, str]] = []
    # All by the driver's clock, which need not be ours.
    then = datetime.fromisoformat(note.renewed).timestamp()
    workers = workers_of(note)
    for worker in workers:
        trial = book.trials.get(int(worker["trial"]))
        quiet = then - float(worker.get("at", then))
        # Of a process with several trials each counts its part of the seconds.
        beside = sum(_process(one) == _process(worker) for one in workers)
        usual = _between_reports(book.trials.values(), trial) * beside
        if trial is not None and usual and quiet > max(SILENT * usual, 60.0):
            words = f"has said nothing for {duration(quiet)}, on {worker.get('host')}"
            said.append((-quiet, trial.id, words))
    return [Straggler(number, words) for _, number, words in sorted(said)[:_SHOWN]]


def _process(worker: Mapping[str, Any]) -> Any:
    return (worker.get("node"), worker["pid"]) if "pid" in worker else worker["trial"]


def _between_reports(trials: Iterable[Trial], trial: Trial | None) -> float:
    """Seconds from a report to the next: of the trial itself, else of all."""
    if trial is not None and trial.mark:
        return trial.seconds / trial.mark
    times = [one.seconds / one.mark for one in trials if one.mark]
    return median(times) if times else math.inf
