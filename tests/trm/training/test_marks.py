"""Marks, compute and budgets: how far a run goes, and where it reports."""

from __future__ import annotations

import math

import pytest

from curricula.stage import Depth
from tests.support.trainers import GROWTH, Make
from trm.config import experiment_from
from trm.train_config import TrainConfig
from trm.training.budget import budget_flops
from trm.training.flops import step_flops, supervision_step_flops
from trm.training.trainer import Trainer


@pytest.mark.parametrize("steps", [7, 100, 977])
def test_marks_are_not_missed_by_rounding(make: Make, steps: int) -> None:
    trainer = make(
        {"train.budget.steps": steps}, marks=tuple((i + 1) / steps for i in range(steps))
    )
    each = step_flops(trainer.config, trainer.task)
    trainer.train_step = lambda: _count_only(trainer, each)  # type: ignore[method-assign]
    trainer._report = lambda: trainer.counters.step  # type: ignore[assignment,method-assign,return-value]
    seen = []
    while trainer.counters.mark < steps:
        seen.append(next(iter(trainer.run())))
        trainer.counters.mark += 1
    assert seen == list(range(1, steps + 1))


def _count_only(trainer: Trainer, flops: float) -> None:
    trainer.counters.step += 1
    trainer.counters.compute += flops


def test_compute_is_the_sum_over_steps_of_their_stages(make: Make) -> None:
    trainer = make({**GROWTH, "model.no_ACT_continue": False})
    model, train = trainer.config.model, trainer.config.train
    total, stages = 0.0, []
    while trainer.counters.compute < trainer.budget:
        trainer.train_step()
        stages.append(trainer.stage.depth)
        total += supervision_step_flops(
            model, 9, 9, train.batch_size, trainer.stage.H_cycles, trainer.stage.L_cycles
        )
        assert trainer.counters.compute == pytest.approx(total, rel=1e-12)
    assert list(dict.fromkeys(stages)) == [Depth(1, 1), Depth(2, 1), Depth(2, 2)]


def test_stages_change_at_their_share_of_compute(make: Make) -> None:
    trainer = make({**GROWTH, "train.budget.steps": 50})
    previous = trainer.stage.depth
    while trainer.counters.compute < trainer.budget:
        before = trainer.progress
        trainer.train_step()
        if trainer.stage.depth != previous:
            share = {Depth(2, 1): 0.2, Depth(2, 2): 0.6}[trainer.stage.depth]
            assert share <= before < share + 0.03
        previous = trainer.stage.depth


def test_a_depth_curriculum_buys_more_steps_for_the_same_compute(make: Make) -> None:
    plain, grown = list(make().run())[-1], list(make(GROWTH).run())[-1]
    assert grown.compute == pytest.approx(plain.compute, rel=0.05)
    assert grown.step > 1.2 * plain.step
    assert (grown.H_cycles, grown.L_cycles) == (plain.H_cycles, plain.L_cycles) == (2, 2)


def test_budgets_in_steps_flops_and_minutes(make: Make) -> None:
    trainer = make()
    each = step_flops(trainer.config, trainer.task)
    assert trainer.budget == 20 * each
    assert make({"train.budget": {"flops": 3.5 * each}}).budget == 3.5 * each
    assert list(make({"train.budget": {"flops": 3.5 * each}}).run())[-1].step == 4
    timed = experiment_from(trainer.config.tree() | {"train": {"budget": {"minutes": 1.0}}})
    flops = budget_flops(timed, trainer.task, seconds_to_time=0.05)
    assert 10 * step_flops(timed, trainer.task) < flops < math.inf


def test_timing_a_config_that_diverges_still_gives_a_budget(make: Make) -> None:
    at_once = {"optimizer.lr": 1e6, "optimizer.lr_warmup_steps": 0}
    trainer = make({"train.budget": {"flops": 1.0}, **at_once})
    for _ in range(3):  # as many as are not timed
        trainer.train_step()
    assert trainer.counters.diverged
    tree = trainer.config.tree() | {"train": {"budget": {"minutes": 1.0}, "batch_size": 4}}
    assert budget_flops(experiment_from(tree), trainer.task, 0.05) > 0


def test_the_rate_warms_up_and_falls_as_the_reference_has_it_at_constant_depth(
    make: Make,
) -> None:
    trainer, warmup, steps, least = make(), 5, 20, 0.1
    for n in range(1, steps + 1):
        trainer.train_step()
        share = (n - warmup) / (steps - warmup)
        cosine = least + (1 - least) * 0.5 * (1 + math.cos(math.pi * share))
        factor = n / warmup if n < warmup else cosine
        assert trainer.counters.learning_rate == pytest.approx(1e-2 * factor, rel=1e-9)


def test_even_marks_end_at_one() -> None:
    for reports in range(1, 60):
        marks = TrainConfig(reports=reports).marks
        assert marks[-1] == 1.0
        assert len(marks) == reports
