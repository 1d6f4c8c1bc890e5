"""The toy trainings of whole sweeps at a pace that may change while they run.

A file `pace` beside the run folder says how many seconds a mark takes; without it none are lost.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.toy_training import SweptTraining
from trm.report import Report

FACTORY = "tests.support.paced_training:PacedTraining"
_LOOK_SECONDS = 0.2


class PacedTraining(SweptTraining):
    def run(self) -> Iterator[Report]:
        for report in super().run():
            self.take_time()
            yield report

    def take_time(self) -> None:
        begun = time.monotonic()
        while (left := begun + self.pace() - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_SECONDS))

    def pace(self) -> float:
        try:
            return float(Path(self.job.folder).with_name("pace").read_text())
        except (OSError, ValueError):
            return 0.0
