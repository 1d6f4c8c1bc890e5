"""Measures how many trials share a device: copies of the default training on one node's device."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.packing import MOST, Packing, Probed, pack
from search.config.plan import Plan
from search.engine.job import Job
from search.engine.packing.copies import Copy, Timed
from search.engine.packing.packings import DeviceClass, Packings
from search.engine.packing.worth import WORTH
from search.ledger.ledger import Ledger
from search.ledger.lineage import spent
from search.logs.console import warn
from trm.blame import blame

SECONDS = 2.5
"""That a number of copies is timed for."""
BOUND = 45.0
"""Seconds of a device's whole probe, at most: processes start, and build the model, in them."""
_LIKELY_LEVELS = 4
"""Numbers of copies that a probe looks at, more or less."""


_DRAWS = 16
"""Random configs of the space among which the largest is looked for."""


@dataclass(frozen=True)
class Subject:
    """What a probe is for.

    Attributes:
        job: of the default config, as a worker would get it.
        others: further configs of the space, of which the largest is measured.
        cpus: CPU cores of a trial.
        trials: that are to run, and are allowed at once, at most.
        flops: training FLOPs that are still to be spent, at most.
    """

    job: Job
    others: Sequence[dict[str, Any]]
    cpus: float
    trials: int
    flops: float


def subject_of(
    plan: Plan,
    ledger: Ledger,
    *,
    cpus: float,
    parallel: int | None,
    path: Sequence[str],
    factory: str | None,
) -> Subject:
    """What the probe of a run is for."""
    space, stability = plan.space, plan.sections.stability
    rng = np.random.default_rng(0)
    unfinished = sum(not trial.ended for trial in ledger.trials.values())
    runs = plan.wanted + stability.runs() + 2 * stability.promise_seeds
    left = max(runs * plan.budget - spent(ledger.trials)[0], unfinished * plan.budget)
    return Subject(
        job=Job(
            folder=str(ledger.folder),
            trial=-1,
            attempt=0,
            config=plan.default_tree,
            seed=plan.seed,
            budget=plan.budget,
            marks=plan.marks,
            path=tuple(path),
            factory=factory,
        ),
        others=[space.sample(rng)[1] for _ in range(_DRAWS if space.parameters else 0)],
        cpus=cpus,
        trials=min(parallel or sys.maxsize, max(plan.wanted, unfinished)),
        flops=left,
    )


class Packer:
    """Tells how many trials share a device of each node; each class of devices is measured once.

    Args:
        subject: what it is for.
        known: what was found before; what is found now is kept there.
        say: is told a line for each class, once it is known.
        seconds: that a number of copies is timed for.
        bound: seconds of a whole probe.
    """

    def __init__(
        self,
        subject: Subject,
        known: Packings,
        say: Callable[[str], None],
        *,
        seconds: float = SECONDS,
        bound: float = BOUND,
    ) -> None:
        self._subject = subject
        self._known = known
        self._say = say
        self._seconds = seconds
        self._bound = bound
        self._copies: dict[str, int] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._closed = threading.Event()

    def copies(self, node: Mapping[str, Any]) -> int | None:
        """Trials that share a device of a node, as `ray.nodes()` has it; None if not known yet."""
        name = node["NodeID"]
        if name not in self._copies:
            most = most_on(node["Resources"], self._subject.cpus, self._subject.trials)
            if most <= 1:
                self._copies[name] = 1
            elif name not in self._threads:
                thread = threading.Thread(target=self._find, args=(node, most), daemon=True)
                self._threads[name] = thread
                thread.start()
        return self._copies.get(name)

    def close(self) -> None:
        """Leave unfinished probes."""
        self._closed.set()
        for thread in self._threads.values():
            thread.join(timeout=5.0)

    def _find(self, node: Mapping[str, Any], most: int) -> None:
        name = node["NodeID"]
        found = 1
        try:
            found = self._probe(name, most)
        except Exception as error:
            if not self._closed.is_set():
                host = node["NodeManagerHostname"]
                warn(
                    f"node {host}: how many trials share a GPU could not be measured "
                    f"({blame(error).words[:200]}): one has it; cluster.gpus_per_trial says it"
                )
        self._copies[name] = found

    def _probe(self, node: str, most: int) -> int:
        begun = time.monotonic()
        with _crew(node, self._subject, most, self._closed) as crew:
            device, memory = crew.device(self._bound)
            if not device:
                return 1  # a device that torch does not know: trials of it train on the CPU
            with self._known.one_probe(device, memory):
                known = self._known.copies(device, memory, most)
                if known is not None:
                    return known
                gpus = max(ray.cluster_resources().get("GPU", 1.0), 1.0)
                each = self._subject.flops / gpus
                levels = ProbeLevels(crew, begun, self._seconds, self._bound, each)
                found = pack(levels.measure, memory=memory, most=most)
            kept = DeviceClass(device, memory, most, found)
            if not self._closed.is_set():
                self._known.keep(kept)
                self._say(kept.text())
        return found.copies


def most_on(resources: Mapping[str, float], cpus: float, trials: int) -> int:
    """Trials that may share a device of a node: each has its cores, and all devices get some.

    >>> most_on({"CPU": 16.0, "GPU": 2.0}, cpus=1, trials=64), most_on({"CPU": 16.0}, 1, 64)
    (8, 0)
    >>> most_on({"CPU": 16.0, "GPU": 2.0}, cpus=1, trials=3)
    2
    """
    gpus = int(resources.get("GPU", 0.0))
    if not gpus:
        return 0
    cores = int(resources.get("CPU", 0.0) / cpus / gpus + 1e-6)
    return min(MOST, cores, -(-trials // gpus))


class Crew(Protocol):
    """Copies of a training on one device."""

    def measure(self, copies: int, seconds: float, timeout: float) -> list[Timed]:
        """Have so many train side by side."""


class ProbeLevels:
    """Measures one number of copies after another, within bounds of time.

    Args:
        crew: has them train.
        begun: when the probe began, as `time.monotonic` has it.
        seconds: that each number is timed for.
        bound: seconds of the whole.
        flops: training FLOPs that a device is to spend in the sweep.
    """

    def __init__(
        self, crew: Crew, begun: float, seconds: float, bound: float, flops: float
    ) -> None:
        self._crew = crew
        self._begun = begun
        self._seconds = seconds
        self._end = begun + bound
        self._flops = flops
        self._too_short = ""
        self._took = 0.0

    def measure(self, copies: int) -> Probed | str:
        """What so many copies did, or why that is not known.

        Raises:
            RayError: not even one copy ran.
        """
        if copies > 1 and self._too_short:
            return self._too_short
        before = time.monotonic()
        left = self._end - before
        # Another level takes as long as the last one, at least.
        if copies > 1 and left < self._took:
            return f"more would have taken longer than {self._end - self._begun:.0f} s to measure"
        try:
            timed = self._crew.measure(copies, self._seconds, left)
        except (GetTimeoutError, RayError, OSError) as error:
            if blame(error).memory or "OutOfMemory" in str(error):
                return f"{copies} ran out of memory"
            if copies == 1:
                raise
            if isinstance(error, GetTimeoutError):
                return f"{copies} took longer than {self._end - self._begun:.0f} s to measure"
            return f"{copies} failed: {blame(error).words[:150]}"
        self._took = time.monotonic() - before
        if copies == 1:
            self._judge(timed[0])
        return Probed(copies, sum(one.rate for one in timed), _memory(timed))

    def _judge(self, alone: Timed) -> None:
        """Whether the sweep is long enough for a probe, now that one copy's pace is known."""
        if not alone.flops or not alone.rate:
            return
        sweep = self._flops / (alone.flops * alone.rate)
        probe = time.monotonic() - self._begun + (_LIKELY_LEVELS - 1) * self._took
        if probe > WORTH * sweep:
            self._too_short = (
                f"the sweep is too short to measure more (at most {sweep:.0f} s of training, a "
                f"probe takes {probe:.0f} s)"
            )


def _memory(timed: Sequence[Timed]) -> float:
    """Bytes of the device at the peak: of all processes, and what is there besides."""
    others = max(one.used.device for one in timed) - sum(one.used.now for one in timed)
    return sum(one.used.peak for one in timed) + max(others, 0.0)


class _Crew:
    """Copies on one device of a node, one after another more of them."""

    def __init__(self, node: str, subject: Subject, most: int, closed: threading.Event) -> None:
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        # Ray fills a device that is in use before it begins another one.
        options = {"num_cpus": 0, "num_gpus": Packing(most).gpus, "max_restarts": 0}
        self._actor = ray.remote(Copy).options(scheduling_strategy=there, **options)
        self._args = (subject.job.to_json(), [*subject.others])
        self._closed = closed
        self._copies: list[Any] = []
        self._devices: set[str] = set()
        self._prepared = 0

    def device(self, timeout: float) -> tuple[str, float]:
        """What the device is."""
        name, memory = self._get([self._grown(1)[0].device.remote()], timeout)[0]
        return name, memory

    def measure(self, copies: int, seconds: float, timeout: float) -> list[Timed]:
        """Have so many train side by side."""
        end = time.monotonic() + timeout
        crew = self._grown(copies)
        devices = self._get([one.prepare.remote() for one in crew[self._prepared :]], timeout)
        self._devices.update(devices)
        self._prepared = len(crew)
        if len(self._devices) > 1:
            raise OSError(f"copies were placed on several devices ({sorted(self._devices)})")
        left = max(end - time.monotonic(), 0.1)
        return self._get([one.measure.remote(seconds) for one in crew], left)

    def end(self) -> None:
        """End all of them."""
        for one in self._copies:
            with suppress(Exception):  # Ray itself may be gone
                ray.kill(one)

    def _grown(self, copies: int) -> list[Any]:
        while len(self._copies) < copies:
            self._copies.append(self._actor.remote(*self._args))
        return self._copies

    def _get(self, asked: list[Any], timeout: float) -> list[Any]:
        end = time.monotonic() + timeout
        while not self._closed.is_set():
            ready, waiting = ray.wait(asked, num_returns=len(asked), timeout=0.2)
            # One that failed is told at once, not after the others.
            for one in ready:
                ray.get(one)
            if not waiting:
                return list(ray.get(asked))
            if time.monotonic() > end:
                raise GetTimeoutError(f"no answer within {timeout:.0f} s")
        raise GetTimeoutError("it was told to stop")


@contextmanager
def _crew(node: str, subject: Subject, most: int, closed: threading.Event) -> Iterator[_Crew]:
    crew = _Crew(node, subject, most, closed)
    try:
        yield crew
    finally:
        crew.end()
