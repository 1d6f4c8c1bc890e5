"""Trainings of one config that need not stand at the same step: one stack as soon as they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from trm.report import Report
from trm.training.stacking.obstacles import unstackable
from trm.training.stacking.stacked import AS_ONE, Stacked
from trm.training.trainer import Trainer

Place = tuple[int, int]
"""Where a training stands: its step, and how many marks it has reported."""


def run_together(
    trainers: Sequence[Trainer],
    stop: Callable[[], bool] = lambda: False,
    gone: Callable[[Trainer], bool] = lambda trainer: False,
) -> Iterator[tuple[Trainer, Report]]:
    """Reports of trainings of one config with several seeds, until all have ended.

    Those that are furthest behind train up to where the next ones stand, and then on with them as
    one model. What cannot be stacked trains in turns, from report to report.

    Args:
        trainers: each usable between two reports, as with `Stacked`.
        stop: asked between steps; once true, the run ends without a report, and every training can
            be saved where it stands.
        gone: asked after each report: who is gone goes on no more.

    >>> from trm.config import experiment_from
    >>> experiment = experiment_from({
    ...     "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 64,
    ...              "valid_examples": 8, "test_examples": 8},
    ...     "model": {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 1},
    ...     "train": {"batch_size": 8, "budget": {"steps": 4}},
    ... })
    >>> task = experiment.task.build()
    >>> ahead, behind = (Trainer(experiment, task, marks=(0.5, 1.0)) for _ in range(2))
    >>> next(ahead.run()).step
    2
    >>> [(t is ahead, report.step) for t, report in run_together([ahead, behind])]
    [(False, 2), (True, 4), (False, 4)]
    """
    as_one = len(trainers) > 1 and not any(map(unstackable, trainers))
    if as_one:
        for trainer in trainers:
            trainer.go_on_eagerly(AS_ONE)
    while left := [t for t in trainers if not (t.finished or gone(t))]:
        first, *later = sorted({_place(t) for t in left})
        level = [t for t in left if _place(t) == first]
        until = later[0] if as_one and later else None
        if as_one and len(level) > 1:
            yield from _stretch(level, until, stop, gone)
        else:
            yield from _next_report(level[0], until, stop)
        if stop():
            return


def _place(trainer: Trainer) -> Place:
    return trainer.counters.step, trainer.counters.mark


def _next_report(
    trainer: Trainer, until: Place | None, stop: Callable[[], bool]
) -> Iterator[tuple[Trainer, Report]]:
    """A training alone, up to its next report or to where others stand."""
    for report in trainer.run(lambda: stop() or (until is not None and _place(trainer) >= until)):
        yield trainer, report
        return


def _stretch(
    level: Sequence[Trainer],
    until: Place | None,
    stop: Callable[[], bool],
    gone: Callable[[Trainer], bool],
) -> Iterator[tuple[Trainer, Report]]:
    """Trainings that stand at one place, as one model, up to where others stand."""
    stacked = Stacked(level)

    def meet(trainers: Sequence[Trainer]) -> bool:
        return until is not None and any(_place(one) >= until for one in trainers)

    for trainer, report in stacked.run(lambda: stop() or meet(stacked.trainers)):
        yield trainer, report
        for one in [t for t in stacked.trainers if gone(t)]:
            stacked.drop(one)
        left = [t for t in stacked.trainers if not t.finished]
        if any(t.at_mark for t in left):
            continue  # whose report is still to come
        if len(left) == 1:
            stacked.drop(left[0])  # alone it is faster
            return
        if meet(left):
            return
