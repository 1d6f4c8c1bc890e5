"""The compute budget of a run, in training FLOPs, and what of it evaluations may take."""

from __future__ import annotations

import math
import time

from trm.config import Experiment
from trm.tasks.base import Task
from trm.training.flops import evaluation_flops, step_flops

LEAST_EXAMPLES = 200
"""Of an evaluation, if `valid` has them: chance then moves a share by 3.5 points at most (one
standard error), less than seeds of one config usually differ by."""


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


def early_examples(config: Experiment, task: Task, budget: float, reports: int) -> int:
    """Examples of each evaluation of a run but the last, which looks at all.

    As many as `train.eval_share` of the budget pays for, once the last evaluation is paid, and not
    below `LEAST_EXAMPLES`: where even those cost more, evaluations cost more than their share.

    Args:
        budget: training FLOPs of the run.
        reports: its compute marks.
    """
    train = config.train
    valid = len(task.split("valid"))
    whole = min(valid, train.valid_examples or valid)
    if train.early_examples is not None:
        return min(whole, train.early_examples)
    if train.eval_share is None or reports == 1:
        return whole
    one = evaluation_flops(config, task)
    each = (train.eval_share * budget / one - whole) / (reports - 1)
    return whole if each >= whole else max(int(each), min(LEAST_EXAMPLES, whole))


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
