"""Seeds that are trained as one model get the numbers that they get alone."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from trm.config import Experiment, experiment_from
from trm.device import resolve
from trm.errors import UserError
from trm.learning.ema import EMA
from trm.learning.halting import begin
from trm.learning.optimizers import OPTIMIZERS, OptimizerConfig
from trm.network import model
from trm.report import MACHINE_COLUMNS, Report
from trm.tasks.base import Task
from trm.training import trainer as trainer_module
from trm.training.stacking.obstacles import obstacle, unstackable
from trm.training.stacking.stacked import Stacked
from trm.training.trainer import Trainer

Tiny = Callable[..., dict[str, Any]]

QUICK = {"train.budget.steps": 20, "train.ema": 0.9, "diagnostics.probe": None}
ARROWS = {"name": "arrows", "valid_examples": 20, "test_examples": 20, "size": 3}
CONFIGS: dict[str, dict[str, Any]] = {
    "adamw, mlp_t, probes": {**QUICK, "diagnostics.probe": "reports"},
    "adam_atan2, attention, continue head, clipped": {
        **QUICK,
        "optimizer.name": "adam_atan2",
        "optimizer.grad_clip": 0.3,
        "model.mixer": "attention",
        "model.no_ACT_continue": False,
    },
    "softmax, learned positions, frozen head, no EMA": {
        **QUICK,
        "train.ema": None,
        "loss.loss_type": "softmax_cross_entropy",
        "model.pos_encodings": "learned",
        "train.freeze": {"parts": ["head"], "share": 0.5},
    },
    "puzzle embeddings, augmented": {
        **QUICK,
        "task": {
            "name": "mixture",
            "tasks": {
                "one": {**ARROWS, "visited": [2, 3], "train_examples": 30, "augment": True},
                "other": {**ARROWS, "visited": [2, 4], "train_examples": 60, "augment": True},
            },
        },
        "optimizer.puzzle_emb_lr": 1e-2,
    },
    "a curriculum of everything that only time moves": {
        **QUICK,
        "curriculum": {
            "depth": {
                "name": "stages",
                "stages": [
                    {"at": 0.0, "H_cycles": 1, "L_cycles": 1},
                    {"at": 0.4, "H_cycles": 2, "L_cycles": 2},
                ],
            },
            "supervision_weights": {"name": "decay", "rate": 0.7},
            "latent_noise": {"name": "linear", "start": 0.1, "end": 0.0},
            "halt_weight": {"name": "linear", "start": 1.0, "end": 0.25},
        },
    },
    "normed before, two networks, gated, the whole gradient, smoothed, Brier, fixed halting": {
        **QUICK,
        "loss.label_smoothing": 0.1,
        "loss.z_loss": 1e-3,
        "loss.halt_loss": "brier",
        "halting": {"name": "fixed", "steps": 2},
        "model.norm": "pre",
        "model.separate_networks": True,
        "model.state_transfer": "gated",
        "model.gradient_cycles": None,
    },
    "a task of many answers": {
        **QUICK, "task": {"name": "maze", "size": 5, "train_examples": 40, "valid_examples": 10,
                          "test_examples": 10},
    },
}  # fmt: skip


def of_seed(tree: dict[str, Any], seed: int) -> Experiment:
    return experiment_from({**tree, "train": {**tree["train"], "seed": seed, "kernel": "eager"}})


def of(tree: dict[str, Any], seed: int, task: Task) -> Trainer:
    """A trainer in float64, where rounding does not grow into what looks like a difference."""
    trainer = Trainer(of_seed(tree, seed), task)
    trainer.model.double()
    trainer.model.dtype = torch.float64
    if trainer.ema is not None:
        trainer.ema = trainer.examiner.ema = EMA(trainer.model, trainer.ema.decay)
    rows = trainer.config.train.batch_size
    trainer.carry = begin(trainer.model, rows, task.seq_len, trainer.device)
    return trainer


def rows(reports: list[Report]) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in report.row().items() if key not in MACHINE_COLUMNS}
        for report in reports
    ]


def state_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    state = trainer.state_dict()
    parts = {"weights": state.weights, "ema": state.ema, "training": state.training}
    return {f"{p}/{k}": t for p, part in parts.items() for k, t in part.items()}


def assert_close(ours: Trainer, theirs: Trainer, tolerance: float = 2e-5) -> None:
    """The same state but for rounding, and the same counters."""
    one, other = state_of(ours), state_of(theirs)
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(
            tensor, other[name], rtol=tolerance, atol=tolerance,
            msg=lambda said, name=name: f"{name}: {said}",
        )  # fmt: skip
    assert ours.counters.step == theirs.counters.step
    assert ours.counters.examples == theirs.counters.examples
    assert ours.stream.state_dict() == theirs.stream.state_dict()
    assert ours.course.state_dict() == theirs.course.state_dict()


def assert_same_rows(ours: list[Report], theirs: list[Report]) -> None:
    for one, other in zip(rows(ours), rows(theirs), strict=True):
        for key, value in one.items():
            same = value == other[key]
            assert same or value == pytest.approx(other[key], rel=1e-4, abs=1e-5), key


@pytest.mark.parametrize("name", CONFIGS)
def test_seeds_get_the_numbers_that_they_get_alone(tiny: Tiny, cache: Path, name: str) -> None:
    tree = tiny(CONFIGS[name])
    task = of_seed(tree, 0).task.build(cache)
    alone = [of(tree, seed, task) for seed in (3, 4, 9)]
    reports = [list(trainer.run()) for trainer in alone]
    stacked = Stacked([of(tree, seed, task) for seed in (3, 4, 9)])
    together = [*stacked.trainers]
    found: dict[int, list[Report]] = {3: [], 4: [], 9: []}
    order = []
    for trainer, report in stacked.run():
        order.append(trainer.config.train.seed)
        found[order[-1]].append(report)
    assert order == [3, 4, 9, 3, 4, 9]
    assert not stacked.trainers
    for trainer, one, theirs in zip(together, alone, reports, strict=True):
        assert_close(trainer, one)
        assert_same_rows(found[one.config.train.seed], theirs)


def test_a_seed_that_is_dropped_goes_on_alone_and_the_others_too(tiny: Tiny, cache: Path) -> None:
    tree = tiny({**QUICK, "optimizer.name": "adam_atan2"})
    task = of_seed(tree, 0).task.build(cache)
    alone = [of(tree, seed, task) for seed in range(3)]
    for trainer in alone:
        assert len(list(trainer.run())) == 2
    stacked = Stacked([of(tree, seed, task) for seed in range(3)])
    together = [*stacked.trainers]
    for trainer, report in stacked.run():
        if report.mark == 1 and trainer is together[1]:
            stacked.drop(together[1])
    assert [t.counters.step for t in together] == [20, 10, 20]
    assert len(list(together[1].run())) == 1
    # The state that it left with is its own: the others' steps have not touched it.
    for one, other in zip(together, alone, strict=True):
        assert_close(one, other)


def test_a_stop_leaves_states_that_resume_alone_or_stacked(tiny: Tiny, cache: Path) -> None:
    tree = tiny(QUICK)
    task = of_seed(tree, 0).task.build(cache)
    alone = [of(tree, seed, task) for seed in range(2)]
    for trainer in alone:
        assert len(list(trainer.run())) == 2
    stacked = Stacked([of(tree, seed, task) for seed in range(2)])
    first = stacked.trainers[0]
    assert not list(stacked.run(lambda: first.counters.step == 7))
    # A trainer that a state was loaded into goes on changing its tensors.
    states = [deepcopy(trainer.state_dict()) for trainer in stacked.trainers]
    again = [of(tree, seed, task) for seed in range(2)]
    for trainer, state in zip(again, deepcopy(states), strict=True):
        trainer.load_state_dict(state)
    assert [t.counters.step for t in again] == [7, 7]
    assert len(list(again[0].run())) == 2
    assert_close(again[0], alone[0])
    restored = [of(tree, seed, task) for seed in range(2)]
    for trainer, state in zip(restored, states, strict=True):
        trainer.load_state_dict(state)
    assert len(list(Stacked(restored).run())) == 4
    for one, other in zip(restored, alone, strict=True):
        assert_close(one, other)


def test_a_seed_that_diverges_is_reported_and_the_others_do_not_notice(
    tiny: Tiny, cache: Path
) -> None:
    tree = tiny({**QUICK, "diagnostics.probe": None})
    task = of_seed(tree, 0).task.build(cache)

    def poisoned() -> list[Trainer]:
        trainers = [of(tree, seed, task) for seed in range(4)]
        for trainer in trainers:
            trainer.train_step()
        with torch.no_grad():
            trainers[1].model.lm_head.weight.fill_(float("nan"))
            trainers[2].model.q_head.weight.fill_(float("inf"))
        return trainers

    alone = poisoned()
    theirs = [list(trainer.run()) for trainer in alone]
    stacked = Stacked(poisoned())
    together = [*stacked.trainers]
    found = [(together.index(t), r) for t, r in stacked.run()]
    assert [(index, report.step, report.diverged) for index, report in found] == [
        (1, 1, True), (2, 1, True),
        (0, 10, False), (3, 10, False), (0, 20, False), (3, 20, False),
    ]  # fmt: skip
    for index in (0, 3):
        assert_close(together[index], alone[index])
    for index in (1, 2):
        assert [report.diverged for report in theirs[index]] == [True]
        ours, other = state_of(together[index]), state_of(alone[index])
        for name, tensor in ours.items():
            torch.testing.assert_close(tensor, other[name], equal_nan=True, rtol=1e-5, atol=1e-5)


def test_one_that_was_begun_in_the_compiled_library_goes_on_without_it(
    tiny: Tiny, cache: Path
) -> None:
    config = experiment_from(tiny(QUICK))
    task = config.task.build(cache)
    trainers = [Trainer(config, task), Trainer(config, task)]
    for trainer in trainers:
        trainer.train_step()
    stacked = Stacked(trainers)
    for _, report in stacked.run():
        if report.mark == 1 and trainers[1] in stacked.trainers:
            stacked.drop(trainers[1])
    # It was left out before its own report at that mark.
    assert [report.mark for report in trainers[1].run()] == [1, 2]
    assert {(t.counters.step, t.resolved.kernel) for t in trainers} == {(20, "eager")}
    ours, theirs = (t.model.state_dict() for t in trainers)
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0.0, atol=1e-4)


def test_one_whose_host_ran_ahead_goes_on_with_the_examples_that_were_ready(
    tiny: Tiny, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tiny(QUICK)
    task = of_seed(tree, 0).task.build(cache)
    alone = [Trainer(of_seed(tree, seed), task) for seed in range(2)]
    monkeypatch.setattr(trainer_module, "AHEAD", frozenset({"cpu"}))
    ahead = [Trainer(of_seed(tree, seed), task) for seed in range(2)]
    for trainer in ahead:
        assert trainer.ahead is not None
        for _ in range(5):
            trainer.train_step()
    stacked = Stacked(ahead)
    assert not list(stacked.run(lambda: ahead[0].counters.step == 6))
    assert ahead[0].stream.ready is not None
    again = Trainer(of_seed(tree, 0), task)
    again.load_state_dict(deepcopy(ahead[0].state_dict()))
    assert again.ahead is not None
    assert len(list(again.run())) == 2
    assert len(list(stacked.run())) == 4
    for one, other in zip([*ahead, again], [*alone, alone[0]], strict=True):
        assert other.finished or len(list(other.run())) == 2
        assert one.counters.examples == other.counters.examples
        weights = other.model.state_dict()
        for name, tensor in one.model.state_dict().items():
            torch.testing.assert_close(tensor, weights[name], rtol=0.0, atol=1e-4)


@pytest.mark.parametrize("mixer", ["attention", "mlp_t"])
def test_in_float32_weights_agree_to_rounding(tiny: Tiny, cache: Path, mixer: str) -> None:
    tree = tiny({**QUICK, "model.mixer": mixer})
    task = of_seed(tree, 0).task.build(cache)
    alone = [Trainer(of_seed(tree, seed), task) for seed in range(2)]
    for trainer in alone:
        assert len(list(trainer.run())) == 2
    stacked = Stacked.of_seeds(of_seed(tree, 0), task, range(2))
    together = [*stacked.trainers]
    assert len(list(stacked.run())) == 4
    for one, other in zip(together, alone, strict=True):
        weights = other.model.state_dict()
        for name, tensor in one.model.state_dict().items():
            # Where a gradient is all but zero, Adam makes a step of its rounding.
            torch.testing.assert_close(tensor, weights[name], rtol=0.0, atol=1e-4)


class Mine(OptimizerConfig):
    """An optimiser that looks at matrices as a whole."""

    name: str = "mine"

    def build_main(self, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, self.lr)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"curriculum": {"supervision": {"name": "halt_growth", "threshold": 0.4, "patience": 8}}},
         "its curriculum learns from each seed"),
        ({"optimizer": {"name": "mine", "lr": 0.1}}, "optimizer 'mine' may not go element"),
        ({"model.initial_state": "random"}, "its states begin at random"),
        ({"model.state_transfer": "damped"}, "its states begin at random or are learnt, or noise"),
        ({"train.compile": True}, "train.compile is on"),
        ({}, "its puzzle embedding has sparse gradients"),
    ],
)  # fmt: skip
def test_what_cannot_be_stacked_is_said(
    tiny: Tiny, cache: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], reason: str
) -> None:
    monkeypatch.setitem(OPTIMIZERS, "mine", Mine)
    if not changes:
        monkeypatch.setattr(model, "SPARSE_FROM", 0)
    tree = tiny({**QUICK, **changes})
    config = of_seed(tree, 0)
    trainer = Trainer(config, config.task.build(cache), resolved=resolve(config.train))
    assert unstackable(trainer).startswith(reason)
    # What only a model shows, its config does not say.
    assert obstacle(config).startswith(reason if changes else "")
    with pytest.raises(UserError, match="seeds cannot be trained as one"):
        Stacked([trainer])
