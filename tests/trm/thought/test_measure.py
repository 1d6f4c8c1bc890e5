"""Columns of deeper and wider thinking against rollouts that are run for each of them alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trm.config import experiment_from
from trm.evaluation import sample, solve
from trm.report import COLUMNS, PROBED, Report
from trm.thought.config import MEASURED, ThoughtConfig
from trm.thought.measure import Measures
from trm.thought.points import point
from trm.thought.rollouts import record
from trm.training.flops import inference_step_flops
from trm.training.trainer import Trainer

Make = Callable[..., Trainer]
ALL = list(MEASURED)


@pytest.fixture
def make(tiny: Callable[..., dict[str, Any]], cache: Path) -> Make:
    def trainer(changes: dict[str, Any]) -> Trainer:
        config = experiment_from(tiny({"train.reports": 2, **changes}))
        return Trainer(config, config.task.build(cache))

    return trainer


def test_measures_are_columns_that_a_report_has_where_they_are_asked_for() -> None:
    own = set(Measures.__dataclass_fields__)
    assert own <= set(COLUMNS)
    assert {name for name, column in COLUMNS.items() if column.asked} == own - {"depth_drop"}
    assert not own & set(PROBED) - {"depth_drop"}
    assert set(ThoughtConfig(measure=ALL, depth=2).asked) == {*MEASURED, "thought_accuracy"}


@pytest.mark.parametrize("ema", [None, 0.9])
def test_the_last_report_has_what_is_asked_for(make: Make, ema: float | None) -> None:
    thought = {
        "measure": ALL, "examples": 5, "depth": 2, "breadth": 3, "noise": {"z_H": 0.5},
        "pick": "vote",
    }  # fmt: skip
    trainer = make({"thought": thought, "train.ema": ema, "diagnostics.beyond": 4})
    first, last = trainer.run()
    for column in (*MEASURED, "thought_accuracy", "depth_drop_x16"):
        assert getattr(first, column) is None
    config, task = trainer.config, trainer.task
    trained, valid = config.model.halt_max_steps, sample(task.split("valid"), 5)
    ema_weights = trainer.ema.swapped(trainer.model) if trainer.ema else None
    if ema_weights is not None:
        ema_weights.__enter__()

    def right(depth: int) -> float:
        found = solve(
            trainer.model, valid, steps=depth * trained, batch_size=8, device=trainer.device
        )
        return float(task.right(valid.inputs, valid.labels, found.answers[-1]).mean())

    wide = record(
        trainer.model, task, valid, [2 * trained] * 3 + [trained] * 5,
        noise=config.thought.noise, batch_size=config.train.eval_batch_size,
        device=trainer.device,
    )  # fmt: skip
    if ema_weights is not None:
        ema_weights.__exit__(None, None, None)
    assert last.accuracy_x4 == pytest.approx(right(4))
    assert last.accuracy_x16 == pytest.approx(right(16))
    assert last.depth_drop == pytest.approx(right(1) - right(4))
    assert last.depth_drop_x16 == pytest.approx(right(1) - right(16))
    expected = point(wide, 2 * trained, 3).picked["vote"].mean()
    assert last.thought_accuracy == pytest.approx(float(expected))
    assert last.accuracy_k8 == pytest.approx(float(point(wide, trained, 8).picked["vote"].mean()))


def test_every_report_has_them_where_a_sweep_needs_that(make: Make) -> None:
    rows = list(make({"thought": {"measure": ["accuracy_x4"], "at": "reports"}}).run())
    assert all(row.accuracy_x4 is not None for row in rows)
    assert all(row.accuracy_x16 is None for row in rows)


def test_nothing_is_measured_that_nobody_asks_for(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trm.thought.measure.record", None)
    assert all(row.accuracy_x4 is None for row in make({}).run())


def test_it_changes_nothing_of_the_training(make: Make) -> None:
    plain = list(make({}).run())
    deep = list(make({"thought": {"measure": ALL, "at": "reports"}}).run())
    own = {*Measures.__dataclass_fields__, "findings"}
    machine = {name for name, column in COLUMNS.items() if column.machine}

    def rest(row: Report) -> dict[str, Any]:
        return {name: value for name, value in row.row().items() if name not in own | machine}

    assert [rest(row) for row in plain] == [rest(row) for row in deep]


def test_a_run_says_what_it_costs(make: Make) -> None:
    thought = {"measure": ["accuracy_x4", "accuracy_k8"], "examples": 6}
    trainer = make({"thought": thought})
    task, model = trainer.task, trainer.config.model
    once = inference_step_flops(model, task.seq_len, task.vocab_size)
    steps = model.halt_max_steps * (4 + 7)
    assert trainer.examiner.measuring_cost(2) == pytest.approx(6 * steps * once)
    always = make({"thought": thought | {"at": "reports"}, "train.early_examples": 4})
    assert always.examiner.measuring_cost(2) == pytest.approx((6 + 4) * steps * once)
    assert make({}).examiner.measuring_cost(2) == 0.0


def test_the_same_examples_for_every_depth(make: Make) -> None:
    """A difference of two shares of the same few examples is a multiple of one of them."""
    [*_, last] = make({"thought": {"measure": ALL, "examples": 7}}).run()
    assert last.depth_drop_x16 is not None
    assert np.isclose(last.depth_drop_x16 * 7, round(last.depth_drop_x16 * 7))
