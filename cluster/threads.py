"""How many threads a trial has on CPUs: the cores that trials at once leave, while it gains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cluster.packing import FILL, GAIN, ladder
from cluster.resources import Share, room

PLENTY = 4e9
"""Bytes for each trial at once: where nodes have so many, what a trial takes is not looked at."""


@dataclass(frozen=True)
class Paced:
    """What one training did with so many threads, alone on its node.

    Attributes:
        threads: that it had.
        rate: training steps a second.
    """

    threads: int
    rate: float


@dataclass(frozen=True)
class ThreadPace:
    """What more threads and one training's memory come to on CPUs of a kind.

    Attributes:
        paced: numbers of threads of which each is faster than the one before by the gain, the
            first one alone.
        memory: bytes that a training takes at most; 0 if that is not known.
        why: why no more threads than that, in words.
    """

    paced: tuple[Paced, ...]
    memory: float = 0.0
    why: str = ""

    def text(self) -> str:
        """In one line, with the figures.

        >>> print(ThreadPace((Paced(1, 10.0), Paced(2, 17.0)), 6e8, "3 are not 10% faster").text())
        steps/s by threads of a trial: 1: 10, 2: 17; 3 are not 10% faster; a trial takes 0.60 GB
        """
        figures = ", ".join(f"{one.threads}: {one.rate:.3g}" for one in self.paced)
        words = f"steps/s by threads of a trial: {figures}"
        words += f"; {self.why}" if self.why else ""
        return words + (f"; a trial takes {self.memory / 1e9:.2f} GB" if self.memory else "")


def climb(
    measure: Callable[[int], float | str], most: int, gain: float = GAIN
) -> tuple[tuple[Paced, ...], str]:
    """Measure 1, 2, 3, 4, 6, 8, 12, ... threads, until more are of no use.

    Args:
        measure: steps a second with so many, or why that could not be found out.
        most: threads to look at.
        gain: share by which more threads must be faster.

    >>> curve = {1: 10.0, 2: 19.0, 3: 22.0, 4: 23.0}
    >>> found, why = climb(lambda threads: curve[threads], most=16)
    >>> [one.threads for one in found], why
    ([1, 2, 3], '4 are not 10% faster')
    """
    paced: list[Paced] = []
    for threads in ladder(most):
        rate = measure(threads)
        if isinstance(rate, str):
            return tuple(paced), rate
        if paced and not rate >= (1.0 + gain) * paced[-1].rate:
            return tuple(paced), f"{threads} are not {gain:.0%} faster"
        paced.append(Paced(threads, rate))
    return tuple(paced), f"no more than {most} were to be tried"


def threads_for(
    pace: ThreadPace, nodes: Sequence[Mapping[str, float]], share: Share, at_once: int
) -> int:
    """Threads of a trial, where so many can run at once: what is best for all of them together.

    No trial waits for another one's threads. They wait for each other at every step, and trials do
    not, so one core each is most where there are as many trials as cores; what fewer trials leave
    makes each of them faster, and with it all together.

    Args:
        pace: what threads and memory come to.
        nodes: resources of each node, as `ray.nodes()` says them.
        share: what a trial gets with one thread, its memory included.
        at_once: trials that could run at once, had they room.

    >>> pace = ThreadPace((Paced(1, 10.0), Paced(2, 19.0), Paced(4, 30.0)))
    >>> [threads_for(pace, [{"CPU": 16.0}], Share(), n) for n in (1, 4, 6, 16, 64)]
    [4, 4, 2, 1, 1]
    """
    together = min(at_once, places(nodes, share))
    fits = [
        one.threads
        for one in pace.paced
        if places(nodes, replace(share, cpus=one.threads)) >= together
    ]
    return max(fits, default=1)


def places(nodes: Iterable[Mapping[str, float]], share: Share) -> int:
    """Trials that nodes hold together.

    >>> places([{"CPU": 16.0, "memory": 10e9}, {"CPU": 4.0, "memory": 9e9}], Share(memory=2e9))
    9
    """
    return sum(room(node, share) for node in nodes)


def most_threads(nodes: Sequence[Mapping[str, float]], at_once: int) -> int:
    """Threads that a trial could have if so many run at once.

    >>> most_threads([{"CPU": 64.0}], 2), most_threads([{"CPU": 4.0}] * 3, 2)
    (32, 4)
    """
    largest = int(max((node.get("CPU", 0.0) for node in nodes), default=0.0))
    together = min(at_once, places(nodes, Share()))
    holds = (n for n in range(largest, 1, -1) if places(nodes, Share(cpus=n)) >= together)
    return next(holds, 1)


def scarce_memory(nodes: Sequence[Mapping[str, float]], at_once: int) -> bool:
    """Whether what a trial takes may decide how many run at once.

    >>> scarce_memory([{"CPU": 64.0, "memory": 64e9}], 64)
    True
    >>> scarce_memory([{"CPU": 64.0, "memory": 64e9}], 4)
    False
    """
    held = [min(room(node, Share()), at_once) for node in nodes]
    return any(
        count > 1 and 0.0 < node.get("memory", 0.0) < count * PLENTY
        for node, count in zip(nodes, held, strict=True)
    )


def memory_share(pace: ThreadPace, nodes: Sequence[Mapping[str, float]]) -> float:
    """Bytes that a trial asks for: what it takes, and a reserve; never more than a node has.

    >>> nodes = [{"CPU": 4.0, "memory": 16e9}]
    >>> memory_share(ThreadPace((), 9e9), nodes), memory_share(ThreadPace((), 15e9), nodes)
    (10000000000.0, 16000000000.0)
    """
    most = max((node.get("memory", 0.0) for node in nodes if node.get("CPU")), default=0.0)
    return min(pace.memory / FILL, most)
