"""Steps whose loss and gradients come from one call train as those that autograd takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trm.config import experiment_from
from trm.training.trainer import Trainer

Make = Callable[..., Trainer]

DECAY = {"name": "decay", "rate": 0.7}
LINE = {"name": "linear", "start": 1.0, "end": 0.25}


@pytest.fixture
def make(tiny: Callable[..., dict[str, Any]], cache: Path) -> Make:
    def trainer(changes: dict[str, Any] | None = None) -> Trainer:
        config = experiment_from(tiny(changes))
        return Trainer(config, config.task.build(cache))

    return trainer


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss.loss_type": "softmax_cross_entropy", "optimizer.grad_clip": 0.1},
        {"curriculum": {"supervision_weights": DECAY, "halt_weight": LINE}},
        {"curriculum": {"latent_noise": LINE, "supervision_weights": "last_step"}},
        {"model.carry_latent": False, "model.mixer": "attention", "model.puzzle_emb_ndim": 16},
    ],
    ids=["plain", "softmax", "weights", "last step", "fresh states"],
)
def test_a_training_is_the_same_either_way(make: Make, changes: dict[str, Any]) -> None:
    changes = {"train.kernel": "fused", "model.puzzle_emb_len": 1, **changes}
    one, other = make(changes), make(changes)
    assert one.waiting.at_once
    other.waiting.at_once = False
    for _ in range(12):
        one.train_step()
        other.train_step()
        assert one.counters.sums["loss"] == pytest.approx(other.counters.sums["loss"], rel=1e-4)
        assert one.counters.grad_norm == pytest.approx(other.counters.grad_norm, rel=2e-3)
        assert one.carry.halted.equal(other.carry.halted)
    assert one.counters.sums["halted_exact"] == other.counters.sums["halted_exact"]


def test_who_looks_at_logits_takes_them_through_autograd(make: Make) -> None:
    for changes in (
        {"train.kernel": "eager"},
        {"train.kernel": "fused", "model.no_ACT_continue": False},
        {"train.kernel": "fused", "task": {"name": "queens", "train_examples": 40}},
    ):
        trainer = make(changes)
        assert not trainer.waiting.at_once
        trainer.train_step()
