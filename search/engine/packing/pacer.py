"""Measures on one node how a training of the sweep gains by threads, and what memory it takes."""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.threads import ThreadPace, climb
from search.engine.job import Job
from search.engine.packing.copies import TRMCopy, measurable, timed
from search.engine.packing.packer import Subject
from search.engine.packing.packings import CpuClass, Packings
from search.engine.packing.worth import WORTH, seconds_of_a_probe

SECONDS = 2.0
"""That a number of threads is timed for."""
BOUND = 45.0
"""Seconds of a node's whole probe, at most; of a long sweep up to four times as many."""
_LIKELY_LEVELS = 3
"""Numbers of threads that a probe looks at after the first, more or less."""


class PacedCopy:
    """An actor of Ray that trains with one number of threads after another.

    Args:
        job: of the sweep's default config, as text.
        others: further configs of the sweep, of which the largest shows the memory.
    """

    def __init__(self, job: str, others: Sequence[dict[str, Any]] = ()) -> None:
        self._job, self._others = Job.from_json(job), others
        self._training = measurable(self._job)
        self._flops = 0.0

    def name(self) -> str:
        """What the CPUs call themselves."""
        return cpu_name()

    def prepare(self) -> float | None:
        """Build it, and do once what a training does; FLOPs of a step, None if it is on no CPU."""
        if self._training is None or self._training.device()[0]:
            return None
        self._flops = self._training.prepare()
        on_cpu = not isinstance(self._training, TRMCopy) or self._training.on_cpu
        return self._flops if on_cpu else None

    def rate(self, threads: int, seconds: float) -> float:
        """Steps a second with so many threads."""
        import torch

        assert self._training is not None
        torch.set_num_threads(threads)
        self._training.step()
        return timed(self._training, self._flops, seconds).rate

    def memory(self, largest: bool = True) -> float:
        """Bytes that a training takes at most, of the largest config; 0 if that is not known."""
        assert self._training is not None
        if largest and isinstance(self._training, TRMCopy) and self._others:
            TRMCopy(self._job, self._others).prepare()
        return self._training.used().peak


class Pacer:
    """Measures the CPUs of a run, within bounds of time.

    Args:
        subject: what it is for.
        known: what was found before; what is found now is kept there.
        say: is told a line once a class is known.
        seconds: that a number of threads is timed for.
        bound: seconds of the whole probe, where the sweep is not long.
        worth: share of the sweep's time that it may take.
    """

    def __init__(
        self,
        subject: Subject,
        known: Packings,
        say: Callable[[str], None],
        *,
        seconds: float = SECONDS,
        bound: float = BOUND,
        worth: float | None = None,
    ) -> None:
        self._subject = subject
        self._known = known
        self._say = say
        self._seconds = seconds
        self._bound = bound
        self._worth = WORTH if worth is None else worth
        self._begun = self._took = self._most = 0.0
        self._too_short = ""

    def pace(self, node: str, cores: int, most: int, at_once: int) -> ThreadPace | None:
        """How a training gains on a node; None where it is not on the CPU, or not measurable.

        Args:
            node: its id.
            cores: that it has.
            most: threads that are looked at, at most.
            at_once: trials of the sweep at once.

        Raises:
            RayError: not even one thread was measured.
        """
        self._begun = time.monotonic()
        self._most = seconds_of_a_probe(self._subject.flops, at_once, self._bound, self._worth)
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        options = {"num_cpus": 0, "max_restarts": 0, "scheduling_strategy": there}
        actor = ray.remote(PacedCopy).options(**options)
        copy = actor.remote(self._subject.job.to_json(), [*self._subject.others])
        try:
            name = self._get(copy.name.remote())
            known = self._known.pace(name, cores, most)
            if known is not None:
                return known.pace
            begun = time.monotonic()
            flops = self._get(copy.prepare.remote())
            if flops is None:
                return None
            built = time.monotonic() - begun
            paced, why = climb(lambda n: self._rate(copy, n, flops, at_once), most)
            memory = 0.0
            with suppress(GetTimeoutError):
                memory = self._get(copy.memory.remote(False))
                if self._left() > 2 * built and not self._too_short:
                    memory = self._get(copy.memory.remote())
        finally:
            ray.kill(copy)
        if not paced:
            return None
        found = CpuClass(name, cores, most, ThreadPace(paced, memory, why))
        self._known.keep_pace(found)
        self._say(found.text())
        return found.pace

    def _rate(self, copy: Any, threads: int, flops: float, at_once: int) -> float | str:
        if threads > 1 and self._too_short:
            return self._too_short
        if threads > 1 and self._left() < self._took:
            return f"more would have taken longer than {self._most:.0f} s to measure"
        before = time.monotonic()
        try:
            rate = float(self._get(copy.rate.remote(threads, self._seconds)))
        except GetTimeoutError:
            if threads == 1:
                raise
            return f"{threads} took longer than {self._most:.0f} s to measure"
        self._took = time.monotonic() - before
        if threads == 1 and flops:
            sweep = self._subject.flops / (flops * rate * at_once)
            probe = before - self._begun + (1 + _LIKELY_LEVELS) * self._took
            if probe > self._worth * sweep:
                self._too_short = (
                    f"the sweep is too short to measure more (at most {sweep:.0f} s of training, "
                    f"a probe takes {probe:.0f} s)"
                )
        return rate

    def _left(self) -> float:
        return self._begun + self._most - time.monotonic()

    def _get(self, asked: Any) -> Any:
        return ray.get(asked, timeout=max(self._left(), 0.1))


def cpu_name() -> str:
    """What this machine's CPUs call themselves."""
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE):
            return " ".join(found[1].split())
    return platform.processor() or platform.machine()
