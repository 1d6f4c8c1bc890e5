from __future__ import annotations

import math
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.trainers import EVERYTHING, GROWTH, Make, assert_same, rows
from trm.config import Experiment
from trm.device import resolve
from trm.errors import UserError
from trm.report import Report
from trm.tasks.arrows import ArrowsTask
from trm.tasks.base import Split, SplitName, Task
from trm.training.trainer import Trainer


def tensors(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Every tensor of the state, copied."""
    state = trainer.state_dict()
    parts = {"weights": state.weights, "ema": state.ema, "training": state.training}
    return {f"{p}/{k}": t.detach().clone() for p, part in parts.items() for k, t in part.items()}


def test_reports_come_at_the_first_step_at_or_past_each_mark(make: Make) -> None:
    marks = (0.1, 0.33, 0.34, 0.5, 1.0)
    trainer = make(marks=marks)
    reports = list(trainer.run())
    assert [report.step for report in reports] == [2, 7, 10, 20]
    # A step that passes two marks makes one report, of the later mark.
    assert [report.mark for report in reports] == [1, 3, 4, 5]
    assert [report.progress for report in reports] == pytest.approx([0.1, 0.35, 0.5, 1.0])
    assert trainer.finished
    assert list(trainer.run()) == []


@pytest.mark.parametrize("optimizer", ["adamw", "adam_atan2"])
def test_a_run_that_diverges_says_so_and_ends_at_once(make: Make, optimizer: str) -> None:
    changes = {"optimizer.name": optimizer, "optimizer.lr": 1e3, "optimizer.lr_warmup_steps": 0}
    trainer = make({**changes, "train.budget.steps": 2000, "optimizer.weight_decay": 1.0})
    reports = list(trainer.run())
    assert len(reports) == 1
    assert reports[0].diverged
    assert reports[0].step == trainer.counters.step < 200
    assert trainer.finished
    assert list(trainer.run()) == []


def test_weights_that_are_lost_in_the_last_step_are_a_divergence(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make({"train.budget.steps": 3, "train.reports": 1})
    step = trainer.optimizer.step

    def last_step_overflows() -> None:
        step()
        if trainer.counters.step == 2:
            with torch.no_grad():
                trainer.model.lm_head.weight[0, 0] = math.inf

    monkeypatch.setattr(trainer.optimizer, "step", last_step_overflows)
    (report,) = trainer.run()
    assert (report.step, report.mark, report.diverged) == (3, 1, True)
    assert report.findings == 1
    assert trainer.finished


def test_the_step_that_diverges_changes_no_weight(make: Make) -> None:
    trainer = make()
    trainer.train_step()
    with torch.no_grad():
        trainer.model.lm_head.weight[0, 0] = math.nan
    before = tensors(trainer)
    trainer.train_step()
    assert trainer.counters.diverged
    after = tensors(trainer)
    weights = [name for name in before if name.startswith("weights")]
    changed = [
        n for n in weights if not before[n].equal(after[n]) and n != "weights/lm_head.weight"
    ]
    assert not changed


def test_stop_ends_the_run_between_two_steps_without_a_report(make: Make) -> None:
    straight = make()
    whole = rows(list(straight.run()))
    trainer = make()
    asked: list[int] = []

    def stop() -> bool:
        asked.append(trainer.counters.step)
        return trainer.counters.step in (3, 10)  # 10 is a mark: its report comes after the stop

    assert list(trainer.run(stop)) == []
    assert asked == [1, 2, 3]
    assert not trainer.finished
    assert list(trainer.run(stop)) == []
    assert trainer.counters.step == 10
    assert rows(list(trainer.run(stop))) == whole
    assert_same(tensors(trainer), tensors(straight))


class Guarded(ArrowsTask):
    """A task whose test split nobody may look at."""

    def split(self, name: SplitName) -> Split:
        assert name != "test"
        return super().split(name)


def guarded(task: Task, config: Experiment) -> Guarded:
    splits: dict[SplitName, Split] = {name: task.split(name) for name in ("train", "valid", "test")}
    return Guarded(config.task, splits)  # type: ignore[arg-type]


def test_the_test_split_is_never_read(make: Make, tmp_path: Path) -> None:
    plain = make()
    task = guarded(plain.task, plain.config)
    with pytest.raises(AssertionError):
        task.split("test")
    assert rows(list(make(task=task).run())) == rows(list(plain.run()))


def global_states() -> tuple[bytes, str, str]:
    numpy_state = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().numpy().tobytes(), str(numpy_state), str(random.getstate())


def test_global_generators_are_neither_read_nor_moved(make: Make) -> None:
    changes = {**EVERYTHING, "train.budget.steps": 8}
    torch.manual_seed(1)
    random.seed(1)
    before = global_states()
    first = make(changes)
    reports = rows(list(first.run()))
    assert global_states() == before
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    random.seed(2)
    second = make(changes)
    assert rows(list(second.run())) == reports
    assert_same(tensors(first), tensors(second))


def test_two_runs_in_turns_equal_two_runs_alone(make: Make) -> None:
    settings: list[dict[str, Any]] = [
        {"train.reports": 5, "train.ema": 0.9},
        {"train.reports": 5, "train.seed": 1, "model.hidden_size": 32, **GROWTH},
    ]
    alone = [rows(list(make(changes).run())) for changes in settings]
    trainers = [make(changes) for changes in settings]
    runs: list[Iterator[Report]] = [trainer.run() for trainer in trainers]
    turns = [next(run) for _ in range(5) for run in runs]
    assert [rows(turns[0::2]), rows(turns[1::2])] == alone


def test_how_often_a_run_reports_does_not_change_it(make: Make) -> None:
    seldom, often = make({"train.reports": 1}), make({"train.reports": 10})
    last = [list(trainer.run())[-1] for trainer in (seldom, often)]
    assert last[0].exact_accuracy == last[1].exact_accuracy
    assert last[0].lm_loss == last[1].lm_loss
    assert_same(tensors(seldom), tensors(often))


def test_the_seed_covers_weights_order_and_exploration_and_not_the_split(make: Make) -> None:
    a, b, c = make(), make(), make({"train.seed": 1})
    assert_same(tensors(a), tensors(b))
    assert a.task.data_hash == c.task.data_hash
    different = {name for name, t in tensors(a).items() if not torch.equal(t, tensors(c)[name])}
    assert {"weights/embed_tokens", "weights/H_init", "training/exploration"} <= different
    assert not np.array_equal(a.stream.take(16).inputs, c.stream.take(16).inputs)


def test_evaluation_uses_the_averaged_weights_and_gives_the_live_ones_back(make: Make) -> None:
    trainer = make({"train.ema": 0.9})
    list(islice(trainer.run(), 1))
    before = tensors(trainer)
    averaged, live = trainer.evaluate(), trainer.evaluate(live=True)
    assert_same(before, tensors(trainer))
    assert averaged.lm_loss != live.lm_loss
    bare = make({"train.ema": 0.9})
    state = trainer.state_dict()
    bare.model.load_state_dict({**state.weights, **state.ema})
    assert bare.evaluate(live=True) == averaged


def test_valid_examples_cap_an_evaluation(make: Make) -> None:
    assert make().evaluate().examples == 40
    assert make({"train.valid_examples": 7}).evaluate().examples == 7


def test_an_unknown_device_is_refused(make: Make) -> None:
    for device in ("gpu", "meta", "cuda:99"):
        with pytest.raises(UserError, match=rf"train\.device: '{device}'.* use auto"):
            make({"train.device": device})


def test_a_run_sets_its_own_thread_count(make: Make) -> None:
    before = torch.get_num_threads()
    try:
        trainer = make({"train.threads": 2})
        assert resolve(trainer.config.train).threads == 2
        torch.set_num_threads(1)
        seen: list[int] = []
        trainer.train_step = lambda: seen.append(torch.get_num_threads())  # type: ignore[method-assign]
        assert list(trainer.run(lambda: True)) == []
        assert seen == [2]
    finally:
        torch.set_num_threads(before)


def test_a_tiny_run_learns(make: Make) -> None:
    trainer = make(
        {
            "task": {
                "name": "sudoku", "box": [2, 2], "blanks": 4,
                "train_examples": 400, "valid_examples": 50, "test_examples": 20,
            },
            "model.hidden_size": 32,
            "model.swiglu_multiple": 32,
            "model.H_cycles": 1,
            "train.batch_size": 32,
            "train.budget.steps": 100,
        }
    )  # fmt: skip
    untrained = trainer.evaluate()
    first, last = trainer.run()
    assert untrained.exact_accuracy == 0.0
    assert untrained.blank_accuracy < 0.5
    assert last.exact_accuracy > 0.8
    assert last.blank_accuracy > 0.9
    assert last.train_loss < 0.5 * first.train_loss
    assert last.exact_accuracy == last.live_exact_accuracy


def test_reports_say_what_a_model_costs(make: Make) -> None:
    trainer = make()
    *_, last = trainer.run()
    state = trainer.model.state_dict()
    named = dict(trainer.model.named_parameters())
    assert last.parameters == sum(state[name].numel() for name in named)
    assert any("emb" in name for name in named), "embeddings are counted"
    assert 0 < last.latency * trainer.evaluate().examples < last.seconds
    assert 0 < last.latency_ms < 1e3 * last.seconds
    assert last.memory > 2**20
