"""An average whose memory is a share of the run, whatever its length and its depth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Tiny
from trm.config import experiment_from
from trm.errors import UserError
from trm.learning.ema import decay_of
from trm.reference.configs import overrides
from trm.tasks.base import Task
from trm.testing.fitting import check_trains
from trm.training.stacking.obstacles import obstacle
from trm.training.trainer import Trainer


@pytest.fixture
def task(tiny: Tiny, cache: Path) -> Task:
    return experiment_from(tiny()).task.build(cache)


def trainer(tiny: Tiny, task: Task, changes: dict[str, Any]) -> Trainer:
    return Trainer(experiment_from(tiny({"train.kernel": "eager", **changes})), task)


def first_weight(run: Trainer) -> float:
    """What is left in the average of the weights of the beginning: here they are 0, then 1."""
    assert run.ema is not None
    return 1.0 - float(run.ema.state_dict()["q_head.weight"][0, 0])


def watched(run: Trainer, share: float) -> float:
    """The same after a share of the run; the weight that is watched is 1 from the first step on."""
    assert run.ema is not None
    run.ema.tensors()
    for name, shadow in run.ema.state_dict().items():
        if name == "q_head.weight":
            shadow.zero_()
    while run.progress < share - 1e-9:
        with torch.no_grad():
            run.model.q_head.weight.fill_(1.0)
        step = run.optimizer.step
        run.optimizer.step = lambda: None  # type: ignore[method-assign,assignment]
        run.train_step()
        run.optimizer.step = step  # type: ignore[method-assign]
    return first_weight(run)


@pytest.mark.parametrize(
    "changes",
    [
        {"train.budget.steps": 20},
        {"train.budget.steps": 200},
        {"train.budget.steps": 60, "train.supervision_per_update": 3},
        {"train.budget.steps": 100, "curriculum.stochastic_depth": 0.5, "model.H_cycles": 4},
    ],
)
def test_a_half_is_left_after_each_half_life(
    tiny: Tiny, task: Task, changes: dict[str, Any]
) -> None:
    run = trainer(tiny, task, {"train.ema_half_life": 0.2, **changes})
    left = watched(run, 0.2)
    assert left == pytest.approx(0.5 ** (run.progress / 0.2), rel=1e-4)
    assert 0.4 < left <= 0.5


def test_steps_of_equal_cost_have_the_decay_of_a_rate(tiny: Tiny, task: Task) -> None:
    relative = trainer(tiny, task, {"train.ema_half_life": 0.1, "train.ema": None})
    rate = decay_of(0.1, 1 / 20)
    absolute = trainer(tiny, task, {"train.ema": rate})
    for run in (relative, absolute):
        list(run.run())
    assert relative.ema is not None
    assert absolute.ema is not None
    for name, shadow in relative.ema.state_dict().items():
        torch.testing.assert_close(shadow, absolute.ema.state_dict()[name], rtol=1e-5, atol=1e-7)
    assert relative.ema.decay == pytest.approx(rate)


def test_it_goes_on_bit_for_bit_and_is_kept_in_checkpoints() -> None:
    check_trains({"train.ema_half_life": 0.3, "train.ema": None})


def test_the_reference_gets_the_rate_of_its_steps(tiny: Tiny, task: Task) -> None:
    config = experiment_from(tiny({"train.ema_half_life": 0.05}))
    values = dict(one.split("=") for one in overrides(config, task, 400))
    assert values["ema"] == "True"
    assert float(values["ema_rate"]) ** (0.05 * 400) == pytest.approx(0.5)


def test_seeds_are_not_stacked_with_it_and_it_is_positive(tiny: Tiny) -> None:
    assert "half-life" in obstacle(experiment_from(tiny({"train.ema_half_life": 0.1})))
    with pytest.raises(UserError, match=r"train\.ema_half_life"):
        experiment_from(tiny({"train.ema_half_life": 0.0}))
