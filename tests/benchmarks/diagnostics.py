"""What failure detectors cost: whole runs with and without them, in turns.

Runs of the presets `arrows5` and `sudoku6` at their default values, shortened to `SHARE` of their
budget (reports thinned out alike, so that the share of probes stays): the default cadence against
no probes and no per-step counters.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

import torch

from search.config import load_tree
from search.space import Space
from trm.config import experiment_from
from trm.trainer import Trainer

SHARE = float(os.environ.get("SHARE", "0.5"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
BOUND = 0.03


class Bare(Trainer):
    """The trainer without what is measured at every step."""

    def _count_spikes(self, loss: float) -> None: ...

    def _meets_mark(self, compute: float) -> bool:
        return False


def main() -> None:
    torch.set_num_threads(1)
    for preset in ("arrows5", "sudoku6"):
        tree = Space.parse(load_tree(preset)).default()[1]
        tree["train"]["budget"]["steps"] = round(tree["train"]["budget"]["steps"] * SHARE)
        tree["train"]["reports"] = max(round(tree["train"]["reports"] * SHARE), 1)
        task = experiment_from(tree).task.build()

        def run(
            probe: str | None, kind: type[Trainer], tree: Any = tree, task: Any = task
        ) -> float:
            changed = {**tree, "diagnostics": {"probe": probe}}
            trainer = kind(experiment_from(changed), task)
            begun = time.process_time()
            reports = list(trainer.run())
            assert not reports[-1].diverged
            assert (reports[-1].spectral_radius is not None) == (probe is not None)
            return time.process_time() - begun

        seconds: dict[bool, list[float]] = {True: [], False: []}
        for turn in range(ROUNDS):
            for on in (turn % 2 == 0, turn % 2 == 1):
                seconds[on].append(run("auto", Trainer) if on else run(None, Bare))
        with_them, without = (statistics.median(seconds[on]) for on in (True, False))
        share = with_them / without - 1.0
        verdict = "within" if share <= BOUND else "OVER"
        print(f"{preset}: with {with_them:.2f} CPU s, without {without:.2f}, {share:+.1%} "
              f"({verdict} {BOUND:.0%})")  # fmt: skip
