"""What a sweep decides once about evaluations, and a resume leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from search.config.plan import read_plan
from search.config.resolve import refuse_changes
from tests.support.folders import RUNS_V1
from tests.support.planned import checked, planned, replanned
from trm.errors import UserError
from trm.training.budget import early_examples


def tree(**train: Any) -> dict[str, Any]:
    return {
        "task": {
            "name": "sudoku", "box": [2, 2], "blanks": 8, "train_examples": 64,
            "valid_examples": 500, "test_examples": 8,
        },
        "model": {
            "mixer": "mlp_t", "hidden_size": 16, "expansion": 1.0, "puzzle_emb_len": 1,
            "H_cycles": {"int": {"low": 1, "high": 3, "default": 2}},
            "L_cycles": 2, "halt_max_steps": 4,
        },
        "train": {"batch_size": 32, "budget": {"steps": 2500}, "reports": 5, "ema": None, **train},
        "search": {"trials": 4, "scheduler": {"name": "asha", "min_share": 0.3}},
    }  # fmt: skip


def test_trials_of_all_depths_are_compared_on_as_many_examples() -> None:
    plan = planned(tree())
    count = plan.tree["train"]["early_examples"]
    assert 200 < count < 500
    # The scheduler's mark counts: it is evaluated too.
    assert len(plan.marks) == 6
    assert count == early_examples(plan.default, plan.default.task.build(), plan.budget, 6)
    alone = set()
    for depth in (1, 2, 3):
        drawn = {**plan.tree, "model": {**plan.tree["model"], "H_cycles": depth}}
        experiment = plan.experiment(drawn)
        task = experiment.task.build()
        assert early_examples(experiment, task, plan.budget, 6) == count
        train = experiment.train.model_copy(update={"early_examples": None})
        own = experiment.model_copy(update={"train": train})
        alone.add(early_examples(own, task, plan.budget, 6))
    assert len(alone) == 3  # what a trial would find for itself


def test_the_recipe_says_how_many() -> None:
    plan = planned(tree())
    assert plan.recipe["train"]["early_examples"] == plan.tree["train"]["early_examples"]
    assert plan.default.train.early_examples == plan.recipe["train"]["early_examples"]
    after = replanned(plan, {"search": {**tree()["search"], "trials": 9}})
    assert after.default.train.early_examples == plan.default.train.early_examples


def test_a_file_may_fix_it_or_turn_it_off() -> None:
    assert planned(tree(early_examples=70)).default.train.early_examples == 70
    plan = planned(tree(eval_share=None))
    assert "early_examples" not in plan.tree["train"]
    assert plan.default.train.early_examples is None


def test_a_resume_takes_the_file_that_left_it_open_and_no_other_number() -> None:
    plan = planned(tree())
    refuse_changes(plan, tree())
    refuse_changes(plan, tree(early_examples=plan.default.train.early_examples))
    with pytest.raises(UserError, match=r"train\.early_examples: the run has"):
        refuse_changes(plan, tree(early_examples=7))


@pytest.mark.parametrize("key", ["eval_share", "early_examples"])
def test_it_is_not_searched(key: str) -> None:
    with pytest.raises(UserError, match=rf"train\.{key}: cannot be searched"):
        checked(tree(**{key: {"choice": [1, 2]}}))


def test_a_run_keeps_the_sampler_that_a_file_without_one_meant_when_it_was_begun() -> None:
    old = read_plan(RUNS_V1 / "unfinished")
    assert old.sections.search.sampler.name == "tpe"
    again = replanned(old, {"search": {**old.tree["search"], "trials": 9}})
    assert again.sections.search.sampler.name == "tpe"
    assert planned(tree()).sections.search.sampler.name == "auto"
