"""Trainings of which the first two wait for each other, so that two workers are up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.toy_training import ToyTraining
from trm.report import Report

WAIT_SECONDS = 90.0
_BOTH = {"0", "1"}


class MeetingTraining(ToyTraining):
    def run(self) -> Iterator[Report]:
        here = Path(self.job.folder, "met")
        here.mkdir(exist_ok=True)
        (here / str(self.job.trial)).touch()
        until = time.monotonic() + WAIT_SECONDS
        while {path.name for path in here.iterdir()} < _BOTH:
            assert time.monotonic() < until, "the other one has not begun"
            time.sleep(0.05)
        yield from super().run()
