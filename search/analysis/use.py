"""What a run uses and has cost: nodes and their workers, pace, device-hours, who is slow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from search.config.plan import Plan
from search.ledger.book import Book
from search.ledger.lineage import spent
from search.ledger.trial import Trial
from search.logs.console import duration
from trm.files.driver_note import DriverNote

SLOW = 0.5
"""Of the median's speed; a trial below it is slow."""
SILENT = 3.0
"""Times the usual time between reports after which a worker is silent."""
_SHOWN = 3


@dataclass(frozen=True)
class NodeUse:
    """What a run's workers use of a node, as they said with their last reports.

    Attributes:
        host: its name.
        trials: that run there.
        cpu: cores, on average since the reports before.
        memory: bytes of all workers together.
        gpu_memory: bytes that they hold of GPUs together; None without CUDA.
        gpu_total: bytes of a GPU there.
        gpu: the share of time that the GPU is busy, where its driver says so.
    """

    host: str
    trials: list[int]
    cpu: float = 0.0
    memory: int = 0
    gpu_memory: int | None = None
    gpu_total: int | None = None
    gpu: float | None = None

    def text(self) -> str:
        """In a line.

        >>> NodeUse("a", [3, 4], 1.9, 2 << 30, 5 << 30, 80 << 30, 0.5).text()
        'node a: trials 3, 4; 1.9 cores, 2.0 GiB; GPU memory 5.0 of 80.0 GiB, busy 50%'
        """
        many = "trial" if len(self.trials) == 1 else "trials"
        line = (
            f"node {self.host}: {many} {', '.join(map(str, self.trials))}; {self.cpu:.1f} cores, "
            f"{_gib(self.memory)} GiB"
        )
        if self.gpu_memory is not None:
            line += f"; GPU memory {_gib(self.gpu_memory)} of {_gib(self.gpu_total or 0)} GiB"
        if self.gpu is not None:
            line += f", busy {self.gpu:.0%}"
        return line


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


def node_uses(note: DriverNote | None) -> list[NodeUse]:
    """What each node's workers use, of a driver at work."""
    if note is None or not note.lives:
        return []
    by_host: dict[str, list[Mapping[str, Any]]] = {}
    for worker in _workers(note):
        by_host.setdefault(str(worker.get("host", "")), []).append(worker)
    return [
        NodeUse(
            host=host,
            trials=sorted(int(worker["trial"]) for worker in mine),
            cpu=round(sum(worker.get("cpu", 0.0) for worker in mine), 3),
            memory=sum(worker.get("memory", 0) for worker in mine),
            gpu_memory=_total(mine, "gpu_memory"),
            gpu_total=max((w["gpu_total"] for w in mine if "gpu_total" in w), default=None),
            gpu=max((worker["gpu"] for worker in mine if "gpu" in worker), default=None),
        )
        for host, mine in sorted(by_host.items())
    ]


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
    hours = spent(book.trials)[1] * devices / 3600.0
    price = plan.sections.cluster.price
    return RunCost(hours, device, None if price is None else price * hours)


def _devices(plan: Plan, book: Book, note: DriverNote | None) -> tuple[str, float]:
    """What a trial has, and how many: as its driver said, else as the file and its trials say."""
    section = plan.sections.cluster
    share = note.told.get("share") if note is not None else None
    cpus = float(section.cpus_per_trial or plan.evaluated["train"]["threads"])
    gpus = section.gpus_per_trial
    if isinstance(share, dict):
        gpus, cpus = float(share.get("gpus", 0.0)), float(share.get("cpus", cpus))
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
    for worker in _workers(note):
        trial = book.trials.get(int(worker["trial"]))
        quiet = then - float(worker.get("at", then))
        usual = _between_reports(book.trials.values(), trial)
        if trial is not None and usual and quiet > max(SILENT * usual, 60.0):
            words = f"has said nothing for {duration(quiet)}, on {worker.get('host')}"
            said.append((-quiet, trial.id, words))
    return [Straggler(number, words) for _, number, words in sorted(said)[:_SHOWN]]


def _between_reports(trials: Iterable[Trial], trial: Trial | None) -> float:
    """Seconds from a report to the next: of the trial itself, else of all."""
    if trial is not None and trial.mark:
        return trial.seconds / trial.mark
    times = [one.seconds / one.mark for one in trials if one.mark]
    return median(times) if times else math.inf


def _workers(note: DriverNote) -> Sequence[Mapping[str, Any]]:
    found = note.told.get("workers", [])
    return [one for one in found if isinstance(one, dict) and isinstance(one.get("trial"), int)]


def _total(workers: Sequence[Mapping[str, Any]], name: str) -> int | None:
    values = [int(worker[name]) for worker in workers if name in worker]
    return sum(values) if values else None


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"
