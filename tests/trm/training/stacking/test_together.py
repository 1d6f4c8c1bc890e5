"""Seeds that stand at different steps become one model, and get the numbers that they get alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.trm.training.stacking.test_stacked import QUICK, assert_close, of, of_seed
from trm.tasks.base import Task
from trm.training.stacking.stacked import Stacked
from trm.training.stacking.together import run_together
from trm.training.trainer import Trainer

Tiny = Callable[..., dict[str, Any]]


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many were trained as one, each time that it was begun."""
    sizes: list[int] = []
    real = Stacked.__init__

    def counted(self: Stacked, trainers: Sequence[Trainer]) -> None:
        sizes.append(len(trainers))
        real(self, trainers)

    monkeypatch.setattr(Stacked, "__init__", counted)
    return sizes


def ended_alone(tree: dict[str, Any], seeds: Sequence[int], task: Task) -> list[Trainer]:
    alone = [of(tree, seed, task) for seed in seeds]
    for trainer in alone:
        assert len(list(trainer.run())) == 2
    return alone


def test_those_behind_come_up_to_the_others_first(
    tiny: Tiny, cache: Path, stacks: list[int]
) -> None:
    tree = tiny(QUICK)
    task = of_seed(tree, 0).task.build(cache)
    alone = ended_alone(tree, range(4), task)
    trainers = [of(tree, seed, task) for seed in range(4)]
    assert next(trainers[0].run()).step == 10
    first, second = trainers[1], trainers[2]
    assert not list(first.run(lambda: first.counters.step == 7))
    # At a mark whose report is still to come.
    assert not list(second.run(lambda: second.counters.step == 10))
    found = [(trainers.index(t), report.step) for t, report in run_together(trainers)]
    assert found == [(1, 10), (2, 10), (3, 10), (0, 20), (1, 20), (2, 20), (3, 20)]
    assert stacks == [2, 3, 4], "from step 7, at the mark, and after it"
    for one, other in zip(trainers, alone, strict=True):
        assert_close(one, other)


def test_one_that_is_gone_goes_on_no_more_and_the_last_one_goes_on_alone(
    tiny: Tiny, cache: Path, stacks: list[int]
) -> None:
    tree = tiny({**QUICK, "train.budget.steps": 30, "train.reports": 3})
    task = of_seed(tree, 0).task.build(cache)
    [alone] = [of(tree, 1, task)]
    assert len(list(alone.run())) == 3
    trainers = [of(tree, seed, task) for seed in range(3)]
    gone: set[int] = set()
    found = []
    for trainer, report in run_together(trainers, gone=lambda t: trainers.index(t) in gone):
        found.append((trainers.index(trainer), report.step))
        if found[-1] == (0, 10):
            gone.add(2)  # before its own report
        if found[-1] == (1, 20):
            gone.add(0)
    assert found == [(0, 10), (1, 10), (0, 20), (1, 20), (1, 30)]
    assert [t.counters.step for t in trainers] == [20, 30, 10]
    assert_close(trainers[1], alone)
    assert stacks == [3]


def test_a_stop_leaves_each_where_it_can_be_saved(tiny: Tiny, cache: Path) -> None:
    tree = tiny(QUICK)
    task = of_seed(tree, 0).task.build(cache)
    alone = ended_alone(tree, range(2), task)
    trainers = [of(tree, seed, task) for seed in range(2)]
    first = trainers[0]
    assert not list(run_together(trainers, lambda: first.counters.step == 7))
    assert [t.counters.step for t in trainers] == [7, 7]
    again = [of(tree, seed, task) for seed in range(2)]
    for trainer, saved in zip(again, trainers, strict=True):
        trainer.load_state_dict(saved.state_dict())
    assert len(list(again[0].run())) == 2
    assert len(list(run_together([again[1]]))) == 2
    for one, other in zip(again, alone, strict=True):
        assert_close(one, other)


def test_what_cannot_be_stacked_trains_in_turns(tiny: Tiny, cache: Path, stacks: list[int]) -> None:
    growing = {"supervision": {"name": "halt_growth", "threshold": 0.4, "patience": 8}}
    tree = tiny({**QUICK, "curriculum": growing})
    task = of_seed(tree, 0).task.build(cache)
    alone = ended_alone(tree, range(2), task)
    trainers = [of(tree, seed, task) for seed in range(2)]
    found = [(trainers.index(t), report.step) for t, report in run_together(trainers)]
    assert found == [(0, 10), (1, 10), (0, 20), (1, 20)]
    assert not stacks
    for one, other in zip(trainers, alone, strict=True):
        assert_close(one, other, tolerance=0.0)


def test_one_that_diverges_says_so_and_the_other_goes_on(tiny: Tiny, cache: Path) -> None:
    tree = tiny(QUICK)
    task = of_seed(tree, 0).task.build(cache)
    trainers = [of(tree, seed, task) for seed in range(2)]
    found = []
    for trainer, report in run_together(trainers):
        found.append((trainers.index(trainer), report.step, report.diverged))
        if found[-1][:2] == (1, 10):
            trainers[0].model.lm_head.weight.data.fill_(float("nan"))
    assert found == [(0, 10, False), (1, 10, False), (0, 10, True), (1, 20, False)]
