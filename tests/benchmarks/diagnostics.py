"""What failure detectors cost: whole runs with and without them, in turns; and by their own time.

The difference of two runs is as noisy as the machine. So the share of a run's CPU time that is
spent inside what detectors measure is printed too, of the runs that have them.

Runs of the presets `arrows5` and `sudoku6` at their default values, shortened to `SHARE` of their
budget (reports thinned out alike, so that the share of probes stays): the default cadence against
no probes and no per-step counters.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from search.config.file import load_tree
from search.space.space import Space
from trm.config import experiment_from
from trm.probes import Probes
from trm.report import Report
from trm.trainer import Trainer

SHARE = float(os.environ.get("SHARE", "0.5"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
BOUND = 0.03


class Bare(Trainer):
    """The trainer without what is measured at every step."""

    def _count_spikes(self, loss: float) -> None: ...

    def _meets_mark(self, compute: float) -> bool:
        return False


class Timed(Trainer):
    """The trainer, with the CPU seconds of what is measured for the detectors."""

    inside = 0.0

    def _count_spikes(self, loss: float) -> None:
        with self._timed():
            super()._count_spikes(loss)

    def _weights(self) -> Tensor:
        with self._timed():
            return super()._weights()

    def _probe(self) -> Probes:
        with self._timed():
            return super()._probe()

    def _diagnosed(self, report: Report) -> Report:
        with self._timed():
            return super()._diagnosed(report)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        begun = time.process_time()
        yield
        self.inside += time.process_time() - begun


def main() -> None:
    torch.set_num_threads(1)
    for preset in ("arrows5", "sudoku6"):
        tree = Space.parse(load_tree(preset)).default()[1]
        tree["train"]["budget"]["steps"] = round(tree["train"]["budget"]["steps"] * SHARE)
        tree["train"]["reports"] = max(round(tree["train"]["reports"] * SHARE), 1)
        task = experiment_from(tree).task.build()

        def run(
            probe: str | None, kind: type[Trainer], tree: Any = tree, task: Any = task
        ) -> tuple[float, float]:
            changed = {**tree, "diagnostics": {"probe": probe}}
            trainer = kind(experiment_from(changed), task)
            begun = time.process_time()
            reports = list(trainer.run())
            assert not reports[-1].diverged
            assert (reports[-1].spectral_radius is not None) == (probe is not None)
            spent = time.process_time() - begun
            return spent, getattr(trainer, "inside", 0.0) / spent

        seconds: dict[bool, list[float]] = {True: [], False: []}
        inside = []
        for turn in range(ROUNDS):
            for on in (turn % 2 == 0, turn % 2 == 1):
                spent, part = run("auto", Timed) if on else run(None, Bare)
                seconds[on].append(spent)
                inside += [part] if on else []
        with_them, without = (statistics.median(seconds[on]) for on in (True, False))
        own = statistics.median(inside)
        verdict = "within" if own <= BOUND else "OVER"
        print(f"{preset}: with {with_them:.2f} CPU s, without {without:.2f}, "
              f"{with_them / without - 1.0:+.1%}; inside the detectors {own:.1%} "
              f"({verdict} {BOUND:.0%})")  # fmt: skip
