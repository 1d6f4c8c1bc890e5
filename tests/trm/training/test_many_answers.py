"""Where a task has several right answers, its rules decide in training, halting and evaluation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from curricula.component import by_name
from trm.config import experiment_from
from trm.evaluation import Thinking, score
from trm.learning.losses import LossConfig, act_loss
from trm.network.model import Output
from trm.tasks import TASKS
from trm.tasks.arrows import ArrowsConfig, ArrowsTask
from trm.tasks.base import IGNORE, Task, Tokens
from trm.training.trainer import Trainer

SECTION = {
    "name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 64, "valid_examples": 8,
    "test_examples": 8,
}  # fmt: skip


class Lenient(ArrowsTask):
    """Whatever stands in the first cell, all answers to odd puzzles are right and no others."""

    many_answers = True

    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        return np.asarray(inputs.sum(axis=1) % 2 == 1)


def trainer(kind: type[Task]) -> Trainer:
    experiment = experiment_from(
        {
            "task": SECTION,
            "model": {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 1,
                      "halt_max_steps": 1},
            "train": {"batch_size": 64, "budget": {"steps": 1}, "ema": None, "reports": 1},
        }
    )  # fmt: skip
    task = experiment.task.build()
    task.__class__ = kind
    return Trainer(experiment, task)


@pytest.fixture(autouse=True)
def _any_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    # These rules refuse labels, which the check of a task's data would say before training.
    monkeypatch.setattr("trm.training.trainer.require_sound", lambda *_: None)


def test_a_training_asks_the_rules() -> None:
    lenient = trainer(Lenient)
    (report,) = lenient.run()
    train, valid = lenient.task.split("train"), lenient.task.split("valid")
    odd = float((train.inputs.sum(axis=1) % 2).mean())
    assert 0 < odd < 1
    assert report.train_exact_accuracy == pytest.approx(odd)
    assert report.exact_accuracy == float((valid.inputs.sum(axis=1) % 2).mean())
    assert report.exact_accuracy == report.valid_rate
    (strict,) = trainer(ArrowsTask).run()
    assert strict.train_exact_accuracy == strict.exact_accuracy == 0.0
    assert strict.train_loss < report.train_loss  # q starts sure that nothing is right
    probes = lenient.examiner.probe()
    assert probes.trainset_exact_accuracy == pytest.approx(odd, abs=0.1)
    assert probes.exact_accuracy_2x == report.exact_accuracy


def test_the_halting_target_is_what_is_given() -> None:
    logits = torch.zeros(4, 2, 3)
    labels = torch.ones(4, 2, dtype=torch.int32)
    output = Output(logits, torch.zeros(4), torch.zeros(4))
    exact = torch.tensor([True, False, True, True])
    assert torch.equal(act_loss(output, labels, LossConfig(), exact=exact).exact, exact)
    q = torch.tensor([9.0, -9.0, 9.0, 9.0])
    sure = act_loss(Output(logits, q, q), labels, LossConfig(), exact=exact)
    assert float(sure.halt) < 0.01


def test_scores_follow_the_rules_at_every_step() -> None:
    task = ArrowsConfig.model_validate(SECTION).build()
    valid = task.split("valid")
    task.__class__ = Lenient
    answers = np.stack([valid.labels, np.zeros_like(valid.labels)])
    q = np.zeros((2, 8), dtype=np.float32)
    found = score(Thinking(answers, q, np.zeros(8, dtype=np.float32)), task, valid)
    odd = float((valid.inputs.sum(axis=1) % 2).mean())
    assert found.exact_accuracy == found.early_exact_accuracy == odd
    assert found.cell_accuracy == 0.0


def test_each_task_of_a_mixture_is_judged_in_its_own_way() -> None:
    sizes = {"train_examples": 30, "valid_examples": 10, "test_examples": 5}
    colouring = {"name": "colouring", "size": 3, "open": [3, 5], "beyond": None, **sizes}
    task = by_name(
        TASKS, {"name": "mixture", "tasks": {"colours": colouring, "arrows": SECTION}}
    ).build()
    assert task.many_answers
    valid = task.split("valid")
    assert task.right(valid.inputs, valid.labels, valid.labels).all()
    alone = by_name(TASKS, colouring).build()
    names = np.array(["colours", "arrows"])[task.source_of("valid")]
    given = alone.split("valid")
    other = given.labels.copy()
    free = alone.unknown(given.inputs)
    for row in range(len(other)):
        for cell in np.flatnonzero(free[row]):
            for colour in (2, 3, 4):
                tried = given.labels[[row]].copy()
                tried[0, cell] = colour
                if (
                    colour != given.labels[row, cell]
                    and alone.verify(given.inputs[[row]], tried)[0]
                ):
                    other[row] = tried[0]
    changed = (other != given.labels).any(axis=1)
    assert changed.sum() > 3
    answers = valid.labels.copy()
    lifted = np.where(names == "colours")[0]
    cells = (valid.labels[lifted] != IGNORE)[0]
    base = valid.labels[lifted][:, cells] - given.labels
    assert np.ptp(base) == 0
    answers[np.ix_(lifted, np.flatnonzero(cells))] = other + base
    assert task.right(valid.inputs, valid.labels, answers).all()
    answers[names == "arrows", 0] += 1
    assert not task.right(valid.inputs, valid.labels, answers)[names == "arrows"].any()
