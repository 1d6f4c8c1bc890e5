"""Toy trainings on machines that fail them: devices that break, disks that fill, nodes alone.

Their config has the toy's keys, and `pad` (bytes of a checkpoint) and `break` (the mark at which
the device of the process breaks for good: `once` in a run, or `always`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from search.engine.job import Job
from tests.support.toy_training import ToyTraining
from trm.report import Report

FACTORY = "tests.support.troubled_training:TroubledTraining"
_broken = False


class TroubledTraining(ToyTraining):
    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.use_the_device()

    def use_the_device(self) -> None:
        if _broken:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    def run(self) -> Iterator[Report]:
        global _broken
        for report in super().run():
            flag = Path(self.job.folder, f"broken-{self.job.trial}")
            how = self.config.get("break")
            if how and self.mark == self.config["at"] and (how == "always" or not flag.exists()):
                flag.touch()
                _broken = True
            self.use_the_device()
            yield report

    def save(self, folder: Path) -> None:
        super().save(folder)
        (folder / "pad").write_bytes(bytes(self.config.get("pad", 0)))
