"""The compute budget of a run, in training FLOPs."""

from __future__ import annotations

import math
import time

from trm.config import Experiment
from trm.tasks.base import Task
from trm.training.flops import step_flops


def budget_flops(config: Experiment, task: Task, seconds_to_time: float = 4.0) -> float:
    """The compute budget in training FLOPs.

    Steps count at full depth. Minutes are turned into FLOPs by timing real training steps on this
    machine for about `seconds_to_time` seconds, so the result is to be stored, not asked twice.
    """
    budget = config.train.budget
    if budget.flops is not None:
        return budget.flops
    if budget.steps is not None:
        return budget.steps * step_flops(config, task)
    assert budget.minutes is not None
    return budget.minutes * 60.0 * _flops_per_second(config, task, seconds_to_time)


def _flops_per_second(config: Experiment, task: Task, seconds: float) -> float:
    from trm.training.trainer import Trainer  # which asks for its own budget

    trainer = Trainer(config, task, budget=math.inf)
    trainer.prepare()
    for _ in range(3):
        trainer.train_step()
    steps, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        trainer.train_step()
        steps += 1
    # Not the counted compute: a run that diverges at once counts none, but takes its time.
    return steps * step_flops(config, task, trainer.stage.depth) / (time.perf_counter() - begun)
