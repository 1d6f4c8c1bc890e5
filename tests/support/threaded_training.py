"""Toy trainings on CPUs whose gain by threads is known, up to four, and whose memory is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import torch

from search.engine.job import Job
from search.engine.packing.copies import Used
from tests.support.toy_training import ToyTraining
from trm.report import Report

KNEE = 4
STEP = 0.2
"""Seconds of a step with one thread."""
MEMORY = 1e9


class SyntheticCpu:
    def __init__(self, job: Job) -> None:
        with Path(job.folder, "measured.txt").open("a") as file:
            file.write("\n")

    def device(self) -> tuple[str, float]:
        return "", 0.0

    def prepare(self) -> float:
        return 1.0

    def step(self) -> None:
        time.sleep(STEP / min(torch.get_num_threads(), KNEE))

    def wait(self) -> None: ...

    def used(self) -> Used:
        return Used(MEMORY, MEMORY, 0.0)


class ThreadedTraining(ToyTraining):
    """A toy that can be measured, and that notes its threads and cores."""

    measurable = SyntheticCpu

    def provenance(self) -> dict[str, Any]:
        resolved = {"device": "cpu", "threads": self.job.threads or 1}
        return {**super().provenance(), "resolved": resolved}

    def run(self) -> Iterator[Report]:
        cores = ray.get_runtime_context().get_assigned_resources().get("CPU", 0.0)
        with Path(self.job.folder, "threads.txt").open("a") as file:
            file.write(f"{self.job.trial} {self.job.threads} {cores:g}\n")
        yield from super().run()
