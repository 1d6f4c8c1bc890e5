"""The reports of all attempts that a worker has in hand: of one, or of several as one model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from search.engine.attempts.in_hand import AttemptInHand
from search.engine.job import TRMTraining
from trm.report import Report

Told = tuple[AttemptInHand, Report]


def reports_of(attempts: Sequence[AttemptInHand], asked: Callable[[], bool]) -> Iterator[Told]:
    """What attempts report, until all have ended.

    Args:
        attempts: begun; those that are over by the next report train no more.
        asked: asked between steps; once true, trainings end where they stand, and can be saved.
    """
    trainings = [one.training for one in attempts]
    theirs = [one for one in trainings if isinstance(one, TRMTraining)]
    if len(attempts) > 1 and len(theirs) == len(attempts):
        return _as_one(attempts, theirs, asked)
    for training in theirs:
        training.asked = asked
    return _in_turns(attempts)


def _as_one(
    attempts: Sequence[AttemptInHand], trainings: Sequence[TRMTraining], asked: Callable[[], bool]
) -> Iterator[Told]:
    from trm.training.stacking.together import run_together

    whose = {id(t.trainer): one for t, one in zip(trainings, attempts, strict=True)}
    trainers = [training.trainer for training in trainings]
    for trainer, report in run_together(trainers, asked, lambda one: whose[id(one)].over):
        yield whose[id(trainer)], report


def _in_turns(attempts: Sequence[AttemptInHand]) -> Iterator[Told]:
    """A report of each in turn: of trainings that nobody can stack."""
    runs = [(one, one.training.run()) for one in attempts if one.training is not None]
    while runs:
        for pair in [*runs]:
            one, reports = pair
            report = None if one.over else next(reports, None)
            if report is None:
                runs.remove(pair)
            else:
                yield one, report
