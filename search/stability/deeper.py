"""What confirm and promise runs say of depth and breadth beyond those of training."""

from __future__ import annotations

import math
from collections.abc import Sequence

from search.config.plan import Plan
from search.ledger.book import Book
from search.ledger.trial import Trial
from search.objectives.objective import Objective
from search.stability.result import DepthLoss, ThoughtPromise
from search.stats.intervals import prediction_interval

LOST, THOUGHT = "depth_drop_x16", "thought_accuracy"


def depth_loss(book: Book, trials: Sequence[Trial]) -> DepthLoss | None:
    """What seeds lose at 16 times the trained depth; None where no run was evaluated there."""
    lost = [loss for trial in trials if (loss := _last(book, trial, LOST)) is not None]
    if not lost:
        return None
    return DepthLoss(mean=math.fsum(lost) / len(lost), worst=max(lost), seeds=len(lost))


def thought_promise(plan: Plan, book: Book, trials: Sequence[Trial]) -> ThoughtPromise | None:
    """Accuracy of one fresh seed at the depth and breadth of `stability`.

    A run that failed has the column's worst value, as everywhere. None where nothing was asked for,
    and where runs that have ended well were not evaluated so: they are from before it was.
    """
    section = plan.sections.stability
    if (section.depth, section.breadth) == (1, 1):
        return None
    objective = Objective(column=THOUGHT)
    scores = []
    for trial in trials:
        score = _last(book, trial, THOUGHT) if trial.completed else objective.worst(0.0)
        if score is None:
            return None
        scores.append(score)
    interval = prediction_interval(
        scores,
        section.confidence,
        bounds=objective.bounds,
        examples=plan.counted(plan.examples, objective),
    )
    return ThoughtPromise(
        depth=section.depth,
        breadth=section.breadth,
        scores=scores,
        mean=math.fsum(scores) / len(scores),
        low=interval.low,
        high=interval.high,
    )


def _last(book: Book, trial: Trial, column: str) -> float | None:
    """A column of the last report of a run that has ended well, if it has the column."""
    if not trial.completed:
        return None
    rows = book.curve(trial.id)
    value = rows[-1].get(column) if rows else None
    return None if value is None or not math.isfinite(value) else float(value)
