"""Several supervision steps to an update, and H cycles that are left out at random."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from curricula.preview import walk
from curricula.stage import Depth, Stage
from tests.conftest import Tiny
from trm.config import experiment_from
from trm.errors import UserError
from trm.network.model import TRM
from trm.tasks.base import Task
from trm.testing.fitting import check_trains
from trm.training.curriculum import drawn_depth, full_stage
from trm.training.flops import step_flops
from trm.training.stacking.obstacles import unstackable
from trm.training.trainer import Trainer


@pytest.fixture
def task(tiny: Tiny, cache: Path) -> Task:
    return experiment_from(tiny()).task.build(cache)


def trainer(tiny: Tiny, task: Task, changes: dict[str, Any]) -> Trainer:
    return Trainer(experiment_from(tiny({"train.kernel": "eager", **changes})), task)


def weights(model: TRM) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


# --- several supervision steps to an update ----------------------------------------------------


def test_gradients_of_all_its_steps_are_added_before_one_update(
    tiny: Tiny, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"optimizer.lr_warmup_steps": 0, "optimizer.lr_min_ratio": 1.0}
    both = trainer(tiny, task, {**changes, "train.supervision_per_update": 2})
    hand = trainer(tiny, task, changes)
    start = weights(hand.model)
    both.train_step()
    gradients = []
    for _ in range(2):  # the same two steps, of weights that stand still
        monkeypatch.setattr(hand.optimizer, "step", lambda: None)
        hand.train_step()
        gradients.append([p.grad for p in hand.model.parameters()])
    for p, one, two in zip(hand.model.parameters(), *gradients, strict=True):
        assert one is not None
        assert two is not None
        p.grad = one + two
    rest = [p for p in hand.model.parameters() if p is not hand.model.puzzle_emb]
    optimizer = torch.optim.AdamW(rest, lr=1e-2, betas=(0.9, 0.95), weight_decay=0.1)
    optimizer.step()
    mine = [p for p in both.model.parameters() if p is not both.model.puzzle_emb]
    for found, expected in zip(mine, rest, strict=True):
        torch.testing.assert_close(found.detach(), expected.detach(), rtol=1e-6, atol=1e-8)
    assert both.counters.step == hand.counters.step == 2
    assert both.counters.compute == hand.counters.compute
    assert torch.equal(both.carry.steps, hand.carry.steps)
    assert both.counters.examples == hand.counters.examples
    assert not torch.equal(start[0], both.model.embed_tokens)


def test_a_budget_ends_with_the_update_that_spends_it(tiny: Tiny, task: Task) -> None:
    run = trainer(tiny, task, {"train.supervision_per_update": 3})
    reports = list(run.run())
    assert [report.step for report in reports] == [12, 21]
    assert all(report.update_ratio > 0.0 for report in reports)


def test_the_average_takes_in_updates_alone(
    tiny: Tiny, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trainer(tiny, task, {"train.supervision_per_update": 4, "train.ema": 0.5})
    assert run.ema is not None
    seen = []
    monkeypatch.setattr(run.ema, "update", lambda model: seen.append(run.counters.step))
    for _ in range(3):
        run.train_step()
    assert seen == [3, 7, 11]


def test_a_loss_that_is_not_finite_ends_the_run_without_the_update(tiny: Tiny, task: Task) -> None:
    run = trainer(tiny, task, {"train.supervision_per_update": 3})
    run.train_step()
    before = weights(run.model)
    with torch.no_grad():
        run.carry.latent.z_L[0] = math.nan
        run.carry.halted[:] = False
    run.train_step()
    assert run.counters.diverged
    assert run.counters.step == 3
    assert all(map(torch.equal, before, weights(run.model)))


@pytest.mark.parametrize("kernel", ["eager", "auto"])
def test_it_goes_on_bit_for_bit(kernel: str) -> None:
    check_trains({"train.supervision_per_update": 3, "train.kernel": kernel})


def test_the_compiled_library_gives_its_gradients_to_be_added(tiny: Tiny, task: Task) -> None:
    runs = [
        trainer(tiny, task, {"train.supervision_per_update": 2, "train.kernel": kernel})
        for kernel in ("eager", "fused")
    ]
    for run in runs:
        assert not run.waiting.at_once
        run.train_step()
    for one, other in zip(*(weights(run.model) for run in runs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


# --- loss at the end alone ---------------------------------------------------------------------


def rsm(tiny: Tiny, task: Task, **model: Any) -> Trainer:
    changes = {
        "optimizer.lr_warmup_steps": 0, "optimizer.lr_min_ratio": 1.0, "train.ema": None,
        "curriculum.supervision_weights": "last_step", "train.budget.steps": 10_000,
        **{key.replace("__", "."): value for key, value in model.items()},
    }  # fmt: skip
    return trainer(tiny, task, changes)


def test_rsms_contract_in_one_supervision_step_is_the_same_training_for_less(
    tiny: Tiny, task: Task
) -> None:
    """History without a gradient, a loss at the end: no backward pass of rows that do not count."""
    spread = rsm(
        tiny, task, model__halt_max_steps=4, model__H_cycles=2, halting="fixed",
        train__supervision_per_update=4,
    )  # fmt: skip
    whole = rsm(tiny, task, model__halt_max_steps=1, model__H_cycles=8)
    for _ in range(5):
        spread.train_step()
        whole.train_step()
    for one, other in zip(weights(spread.model), weights(whole.model), strict=True):
        assert torch.equal(one, other)
    cycle, heads = 3.0, 0.0  # L_cycles 2; heads are cheap, and count in both
    assert whole.counters.step == 5
    assert spread.counters.step == 20
    share = whole.counters.compute / spread.counters.compute
    assert share == pytest.approx((8 + 2) * cycle / (4 * (2 + 2) * cycle + heads), rel=0.05)


# --- H cycles that are left out ----------------------------------------------------------------


@pytest.mark.parametrize("chance", [0.2, 0.7])
def test_each_cycle_but_the_last_is_left_out_with_its_chance(chance: float) -> None:
    generator = torch.Generator().manual_seed(0)
    stage, count = Stage(H_cycles=5, L_cycles=2, stochastic_depth=chance), 4_000
    seen = Counter(drawn_depth(stage, generator).H_cycles for _ in range(count))
    assert set(seen) == {1, 2, 3, 4, 5}
    for left in range(5):
        expected = math.comb(4, left) * (1 - chance) ** left * chance ** (4 - left)
        error = math.sqrt(expected * (1 - expected) / count)
        assert abs(seen[1 + left] / count - expected) < 4 * error


@pytest.mark.parametrize("stage", [Stage(3, 2), Stage(1, 2, stochastic_depth=0.5)])
def test_nothing_is_drawn_where_nothing_can_be_left_out(stage: Stage) -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert drawn_depth(stage, generator) == stage
    assert torch.equal(generator.get_state(), before)
    whole = drawn_depth(Stage(4, 2, stochastic_depth=1.0), generator)
    assert whole.depth == Depth(1, 2)


def test_what_is_left_out_costs_nothing_and_evaluation_is_at_full_depth(
    tiny: Tiny, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trainer(tiny, task, {"model.H_cycles": 4, "curriculum.stochastic_depth": 0.5})
    depths: list[tuple[bool, int]] = []
    forward = run.model.forward

    def spied(*inputs: Any, **options: Any) -> Any:
        depths.append((run.model.training, options.get("H_cycles") or 0))
        return forward(*inputs, **options)

    monkeypatch.setattr(run.model, "forward", spied)
    list(run.run())
    trained = [H for training, H in depths if training]
    assert {H for training, H in depths if not training} == {0}
    assert len(trained) == run.counters.step > 20
    assert len(set(trained)) == 4
    expected = sum(step_flops(run.config, task, Depth(H, 2)) for H in trained)
    assert run.counters.compute == pytest.approx(expected, rel=1e-12)
    assert run.stage.H_cycles == 4


def test_a_walk_through_a_run_counts_what_is_left_out_in_the_mean(tiny: Tiny, task: Task) -> None:
    changes = {"model.H_cycles": 4, "curriculum.stochastic_depth": 0.4, "train.budget.steps": 200}
    config = experiment_from(tiny(changes))

    def cost(depth: Depth) -> float:
        return step_flops(config, task, depth)

    budget = 200 * cost(Depth(4, 2))
    points = list(walk(config.curriculum, full_stage(config), cost, budget))
    mean = sum(
        math.comb(3, left) * 0.6**left * 0.4 ** (3 - left) * cost(Depth(1 + left, 2))
        for left in range(4)
    )
    assert len(points) == math.ceil(budget / mean)


def test_it_draws_what_it_would_have_drawn_once_it_goes_on() -> None:
    check_trains({"model.H_cycles": 3, "curriculum.stochastic_depth": 0.5})


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_a_chance_is_one(tiny: Tiny, value: float) -> None:
    with pytest.raises(UserError, match=r"curriculum\.stochastic_depth"):
        experiment_from(tiny({"curriculum.stochastic_depth": value}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"curriculum.stochastic_depth": 0.1}, "each seed draws its own depth"),
        ({"train.supervision_per_update": 2}, "the gradients of several supervision steps"),
    ],
)
def test_seeds_are_not_stacked_with_them(
    tiny: Tiny, task: Task, changes: dict[str, Any], reason: str
) -> None:
    assert reason in unstackable(trainer(tiny, task, changes))
