"""A run that goes on with a larger budget than it was begun with."""

from __future__ import annotations

from pathlib import Path

from trm.checkpoint.head import Head
from trm.checkpoint.reading import load_checkpoint
from trm.config import Experiment
from trm.device import require_here
from trm.errors import UserError
from trm.learning.optimizers import learning_rate_factor
from trm.tasks.base import Task
from trm.training.budget import budget_flops
from trm.training.curriculum import advance, begin_course
from trm.training.trainer import Trainer

EXTENDS = ("train.budget", "train.reports")
"""The keys that may change with it."""
_PLACES = 64


def extended(checkpoint: Path, head: Head, task: Task, config: Experiment) -> tuple[Trainer, str]:
    """A trainer that goes on from a checkpoint to a larger budget, and what that means in words.

    Marks that were met stay; behind them come those of the new budget. Where neither the learning
    rate nor the curriculum depends on the budget, the run is bit for bit the one that was planned
    so long.

    Args:
        config: of the checkpoint but for the keys `EXTENDS`.

    Raises:
        UserError: the new budget is no larger, the run has failed, or the checkpoint does not fit.
    """
    counters = head.values["counters"]
    for fault in ("diverged", "collapsed"):
        if counters[fault]:
            raise UserError(
                f"train.budget: the run has {fault} at step {counters['step']}, and more training "
                "does not mend that: start a new one"
            )
    budget = budget_flops(config, task)
    share = head.budget / budget
    if share >= 1.0:
        raise UserError(
            f"train.budget: is {1.0 / share:.0%} of what the run in {checkpoint.parent.parent} was "
            "given: give more to extend it, or start a new run"
        )
    progress = counters["compute"] / budget
    met = [mark * share for mark in head.marks[: counters["mark"]]]
    to_come = [mark for mark in config.train.marks if mark > progress * (1.0 + 1e-9)]
    require_here(head.resolved, checkpoint)
    trainer = Trainer(config, task, budget, (*met, *to_come), head.resolved)
    load_checkpoint(checkpoint, trainer, except_for=EXTENDS)
    trainer.counters.warmup_progress *= share
    return trainer, _in_words(trainer, 1.0 / share)


def _in_words(trainer: Trainer, times: float) -> str:
    counters, optimizer = trainer.counters, trainer.config.optimizer
    text = f"extended from step {counters.step} to {times:.3g} times its budget"
    reasons = []
    if optimizer.lr_min_ratio != 1.0:
        rate = optimizer.lr * learning_rate_factor(
            optimizer, counters.step + 1, trainer.progress, counters.warmup_progress
        )
        reasons.append(
            "the learning rate falls over the budget: it stood at "
            f"{counters.learning_rate:.2g} and goes on at {rate:.2g}"
        )
    if trainer.frozen:
        reasons.append("train.freeze.share is a share of the budget")
    if _curriculum_moves(trainer):
        reasons.append("the curriculum moves over the budget and is set back with it")
    if not reasons:
        return f"{text}, as the run that was planned so long"
    return f"{text}, but not as the run that was planned so long: {'; '.join(reasons)}"


def _curriculum_moves(trainer: Trainer) -> bool:
    """Whether anything that it drives depends on the share of the budget, or on feedback."""
    if trainer.config.curriculum.is_adaptive:
        return True
    course = begin_course(trainer.config, trainer.task)
    stages = [advance(course, place / _PLACES) for place in range(_PLACES + 1)]
    return any(stage != stages[0] for stage in stages)
