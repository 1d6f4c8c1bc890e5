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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch

from search.config.file import load_tree
from search.space.space import Space
from trm.config import experiment_from
from trm.training import examiner, reporting, trainer

SHARE = float(os.environ.get("SHARE", "0.5"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
BOUND = 0.03


class Clock:
    """CPU seconds spent in the functions that it has wrapped."""

    spent = 0.0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            begun = time.process_time()
            try:
                return function(*args, **options)
            finally:
                self.spent += time.process_time() - begun

        return wrapped


@contextmanager
def without_detectors() -> Iterator[None]:
    """Trainings take nothing of what is measured at every step or mark."""
    with (
        patch.object(trainer, "count_spikes", lambda *_: None),
        patch.object(trainer.Trainer, "_meets_mark", lambda *_: False),
    ):
        yield


@contextmanager
def clocked() -> Iterator[Clock]:
    """The time in all that is measured for the detectors, and in themselves."""
    clock = Clock()
    with ExitStack() as stack:
        for owner, name in (
            (trainer, "count_spikes"), (trainer, "weights"), (examiner.Examiner, "probe"),
            (reporting, "judged"),
        ):  # fmt: skip
            stack.enter_context(patch.object(owner, name, clock.timed(getattr(owner, name))))
        yield clock


def main() -> None:
    torch.set_num_threads(1)
    for preset in ("arrows5", "sudoku6"):
        tree = Space.parse(load_tree(preset)).default()[1]
        tree["train"]["budget"]["steps"] = round(tree["train"]["budget"]["steps"] * SHARE)
        tree["train"]["reports"] = max(round(tree["train"]["reports"] * SHARE), 1)
        task = experiment_from(tree).task.build()

        def run(probe: str | None, tree: Any = tree, task: Any = task) -> float:
            changed = {**tree, "diagnostics": {"probe": probe}}
            training = trainer.Trainer(experiment_from(changed), task)
            begun = time.process_time()
            reports = list(training.run())
            assert not reports[-1].diverged
            assert (reports[-1].spectral_radius is not None) == (probe is not None)
            return time.process_time() - begun

        seconds: dict[bool, list[float]] = {True: [], False: []}
        inside: list[float] = []
        for turn in range(ROUNDS):
            for on in (turn % 2 == 0, turn % 2 == 1):
                if on:
                    with clocked() as clock:
                        seconds[on].append(run("auto"))
                    inside.append(clock.spent / seconds[on][-1])
                else:
                    with without_detectors():
                        seconds[on].append(run(None))
        with_them, without = (statistics.median(seconds[on]) for on in (True, False))
        own = statistics.median(inside)
        verdict = "within" if own <= BOUND else "OVER"
        print(f"{preset}: with {with_them:.2f} CPU s, without {without:.2f}, "
              f"{with_them / without - 1.0:+.1%}; inside the detectors {own:.1%} "
              f"({verdict} {BOUND:.0%})")  # fmt: skip
