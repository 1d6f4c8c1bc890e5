"""How many trials run at once, and what each may use."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Share:
    """What one trial gets: CPU cores, which are also its threads, and a share of a GPU.

    Attributes:
        part: of its cores' time that is its own, where trials share them.
        memory: bytes of its node that are its own; 0 is as many as it takes.

    >>> Share(cpus=2, gpus=0.5).request()
    {'CPU': 2.0, 'GPU': 0.5}
    """

    cpus: int = 1
    gpus: float = 0.0
    part: float = 1.0
    memory: float = 0.0

    def request(self) -> dict[str, float]:
        """The share in Ray's terms."""
        request = {"CPU": self.cpus * self.part}
        if self.memory:
            request["memory"] = float(round(self.memory))
        return request | {"GPU": self.gpus} if self.gpus else request


def room(node: Mapping[str, float], share: Share) -> int:
    """Trials that one node holds at once.

    Args:
        node: its resources, as `ray.nodes()` says them.
        share: what one trial gets. Parts of a GPU are of one GPU.

    >>> sum(room({"CPU": 3.0}, Share(cpus=2)) for node in range(3))
    3
    >>> room({"CPU": 8.0, "GPU": 2.0}, Share(gpus=0.6)), room({"CPU": 8.0}, Share(gpus=0.6))
    (2, 0)
    """
    fits = math.floor(node.get("CPU", 0.0) / share.request()["CPU"] + 1e-6)
    if share.memory:
        fits = min(fits, math.floor(node.get("memory", 0.0) / share.memory + 1e-6))
    if not share.gpus:
        return fits
    gpus = node.get("GPU", 0.0)
    if share.gpus >= 1.0:
        return min(fits, math.floor(gpus / share.gpus + 1e-6))
    return min(fits, math.floor(gpus) * math.floor(1.0 / share.gpus + 1e-6))


def shared(share: Share, parallel: int, cores: int) -> Share:
    """The share of each of so many trials at once, which may have to share the cores that exist.

    >>> shared(Share(cpus=1), parallel=64, cores=2).request()
    {'CPU': 0.0312}
    >>> shared(Share(cpus=1), parallel=2, cores=8).part
    1.0
    """
    part = cores / (parallel * share.cpus)
    # Ray counts in ten-thousandths; rounded up, the last trial would have to wait.
    return share if part >= 1 else replace(share, part=math.floor(part * 1e4) / 1e4)


def cores() -> int:
    """CPU cores that this process may use: its affinity, cut by the container's quota.

    >>> cores() >= 1
    True
    """
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(min(allowed, _quota(Path("/sys/fs/cgroup/cpu.max"))), 1)


def _quota(path: Path) -> int:
    """Whole cores of a cgroup's `cpu.max` ("200000 100000"), many where there is no limit."""
    try:
        quota, period = path.read_text().split()
        return max(int(float(quota) / float(period)), 1)
    except (OSError, ValueError):
        return 1 << 20


def worker_environment(share: Share) -> dict[str, str]:
    """Environment variables that give every worker's numeric libraries its share of threads.

    They are read when a library loads, so a worker has to be started with them.

    >>> worker_environment(Share(cpus=2))["OMP_NUM_THREADS"]
    '2'
    """
    threads = str(share.cpus)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return dict.fromkeys(names, threads)
