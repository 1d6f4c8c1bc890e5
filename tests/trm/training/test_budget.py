"""What of a run's compute evaluations take, and on which examples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from trm.config import Experiment, experiment_from
from trm.evaluation import sample, think
from trm.tasks.base import Task
from trm.training.budget import LEAST_EXAMPLES, budget_flops, early_examples
from trm.training.flops import evaluation_flops
from trm.training.trainer import Trainer

VALID = 500


@pytest.fixture(scope="module")
def task() -> Task:
    return experiment_from(_tree()).task.build()


def _tree(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "task": {
            "name": "sudoku", "box": [2, 2], "blanks": 8, "train_examples": 64,
            "valid_examples": VALID, "test_examples": 8,
        },
        "model": {
            "mixer": "mlp_t", "hidden_size": 8, "expansion": 1.0, "swiglu_multiple": 8,
            "puzzle_emb_len": 1, "H_cycles": 2, "L_cycles": 2, "halt_max_steps": 4,
        },
        "train": {
            "batch_size": 8, "budget": {"steps": 12}, "reports": 3, "ema": None, **(changes or {})
        },
        "optimizer": {"name": "adamw"},
    }  # fmt: skip


def _config(**train: Any) -> Experiment:
    return experiment_from(_tree(train))


@pytest.mark.parametrize("ema", [None, 0.9])
def test_an_evaluation_costs_what_torch_counts(task: Task, ema: float | None) -> None:
    config = _config(ema=ema, precision="bfloat16")
    model = Trainer(config, task).model
    inputs = torch.from_numpy(task.split("valid").inputs[:5])
    with FlopCounterMode(display=False) as counter:
        for _ in range(2 if ema else 1):
            list(think(model, inputs, torch.zeros(5, dtype=torch.int32), 4))
    assert 5 * evaluation_flops(config, task) == pytest.approx(counter.get_total_flops(), rel=1e-9)


@pytest.mark.parametrize("reports", [2, 3, 10])
@pytest.mark.parametrize("ema", [None, 0.9])
def test_evaluations_cost_their_share_at_most(task: Task, reports: int, ema: float | None) -> None:
    config = _config(ema=ema)
    one = evaluation_flops(config, task)
    # A budget of which the share pays for the whole last one, and some of each before.
    budget = (VALID + 300 * (reports - 1)) * one / 0.05
    found = early_examples(config, task, budget, reports)
    assert found == 300
    assert (VALID + found * (reports - 1)) * one <= 0.05 * budget
    assert (VALID + (found + 1) * (reports - 1)) * one > 0.05 * budget


def test_what_costs_little_is_evaluated_in_whole(task: Task) -> None:
    config = _config()
    budget = 3 * VALID * evaluation_flops(config, task) / 0.05
    assert early_examples(config, task, budget, 3) == VALID
    assert early_examples(config, task, 0.99 * budget, 3) < VALID
    assert early_examples(config, task, math.inf, 3) == VALID


def test_never_fewer_than_say_something(task: Task) -> None:
    assert early_examples(_config(), task, 1.0, 10) == LEAST_EXAMPLES
    assert early_examples(_config(valid_examples=50), task, 1.0, 10) == 50


def test_it_can_be_set_and_turned_off(task: Task) -> None:
    assert early_examples(_config(eval_share=None), task, 1.0, 10) == VALID
    assert early_examples(_config(early_examples=30), task, 1.0, 10) == 30
    assert early_examples(_config(early_examples=30, valid_examples=20), task, 1.0, 10) == 20
    assert early_examples(_config(), task, 1.0, 1) == VALID


def test_reports_before_the_last_are_of_one_sample_and_the_last_of_all(task: Task) -> None:
    trainer = Trainer(_config(), task)
    part = sample(task.split("valid"), LEAST_EXAMPLES)
    for report in trainer.run():
        last = report.mark == 3
        examples = task.split("valid") if last else part
        assert report.evaluated == len(examples) == (VALID if last else LEAST_EXAMPLES)
        assert report.cell_accuracy == trainer.evaluate(examples).cell_accuracy
    assert last


def test_a_sample_is_part_of_a_larger_one_and_spread_over_the_split(task: Task) -> None:
    valid = task.split("valid")
    rows = [set(map(bytes, sample(valid, count).inputs)) for count in (50, 200, VALID)]
    assert rows[0] < rows[1] < rows[2]
    whole = [bytes(row) for row in valid.inputs]
    places = [whole.index(bytes(row)) for row in sample(valid, 200).inputs]
    assert places == sorted(places)
    # Neither the first ones nor every k-th one: of 50 in each tenth, no less than 8 by chance.
    assert np.histogram(places, bins=10, range=(0, VALID))[0].min() >= 8
    assert all(np.count_nonzero(np.array(places) % 5 == k) >= 8 for k in range(5))


def test_budget_of_the_config_is_what_the_trainer_bounds(task: Task) -> None:
    config = _config(eval_share=0.5, budget={"steps": 500})
    budget = budget_flops(config, task)
    trainer = Trainer(config, task)
    found = next(iter(trainer.run())).evaluated
    assert found == early_examples(config, task, budget, 3)
    assert LEAST_EXAMPLES < found < VALID
