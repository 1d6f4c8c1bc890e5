"""Toy trainings on fake GPUs whose throughput and memory are known.

A node's resource `big` or `small` says what its GPUs are. A big one has 64 GB and is busy from the
fourth copy on; a small one has 10 GB, of which each copy takes 4. A job's config may name a `need`:
a part of a device below which it runs out of memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ray

from search.engine.job import Job
from search.engine.packing.copies import Used
from tests.support.toy_training import ToyTraining
from trm.report import Report

GB = 1e9
STEP = 0.05
"""Seconds that a step takes that has its device for itself."""


@dataclass(frozen=True)
class Gpu:
    memory: float
    each: float
    knee: int
    flops: float = 1.0


GPUS = {"big": Gpu(64 * GB, 2 * GB, 4), "small": Gpu(10 * GB, 4 * GB, 32)}


def node_kind() -> str:
    """Which of them this node has."""
    own = ray.get_runtime_context().get_node_id()
    found = next(node["Resources"] for node in ray.nodes() if node["NodeID"] == own)
    return next((kind for kind in GPUS if kind in found), "big")


class SyntheticCopy:
    def __init__(self, job: Job) -> None:
        self._kind = node_kind()
        self._gpu = GPUS[self._kind]
        # Copies know of each other by files, one folder for each node.
        self._folder = Path(job.folder, f"probed-{ray.get_runtime_context().get_node_id()}")
        self._steps, self._begun = 0, 0.0

    def device(self) -> tuple[str, float]:
        return self._kind, self._gpu.memory

    def prepare(self) -> float:
        self._folder.mkdir(exist_ok=True)
        (self._folder / str(os.getpid())).touch()
        if self._copies * self._gpu.each > self._gpu.memory:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self._gpu.flops

    @property
    def _copies(self) -> int:
        return len(list(self._folder.iterdir()))

    def step(self) -> None:
        self._steps += 1
        copies = self._copies
        each = STEP * copies / min(copies, self._gpu.knee)
        time.sleep(max(self._begun + self._steps * each - time.perf_counter(), 0.0))

    def wait(self) -> None:
        if not self._steps or self._begun == 0.0:
            self._steps, self._begun = 0, time.perf_counter()
        else:
            self._begun = 0.0

    def used(self) -> Used:
        return Used(self._gpu.each, self._gpu.each, self._gpu.each * self._copies)


class PackedTraining(ToyTraining):
    """A toy that can be measured, and that notes which share of a device it has."""

    measurable = SyntheticCopy

    def run(self) -> Iterator[Report]:
        resources = ray.get_runtime_context().get_assigned_resources()
        share = float(resources.get("GPU", 0.0))
        note = f"{share} {node_kind()} {ray.get_gpu_ids()}\n"
        with Path(self.job.folder, "shares.txt").open("a") as file:
            file.write(f"{self.job.trial} {note}")
        if share < self.config.get("need", 0.0):
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        yield from super().run()
