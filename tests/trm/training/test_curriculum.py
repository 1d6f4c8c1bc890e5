from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curricula.stage import Stage
from trm.config import experiment_from
from trm.errors import UserError
from trm.training.curriculum import FeedbackWindow, begin_course, full_stage

TinyTree = Callable[..., dict[str, Any]]


def test_the_full_stage_is_the_rest_of_the_config(tiny: TinyTree, cache: Path) -> None:
    config = experiment_from(tiny({"loss.halt_weight": 0.25}))
    full = full_stage(config)
    assert full == Stage(2, 2, supervision_steps=3, halt_weight=0.25, exploration=0.3)
    assert begin_course(config, config.task.build(cache)).advance(0.5) == full


def test_a_source_that_the_task_lacks_is_named(tiny: TinyTree, cache: Path) -> None:
    mixture = {"name": "mixture", "weights": {"hub": 1.0}}
    config = experiment_from(tiny({"curriculum.sources": mixture}))
    with pytest.raises(UserError, match=r"^curriculum\.sources\.weights\.hub: no such source"):
        begin_course(config, config.task.build(cache))


def random_steps(seed: int, batch: int = 40) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "loss": float(rng.random()),
            "right": rng.random(batch) < 0.4,
            "halting": rng.random(batch) < 0.5,
            "halted": rng.random(batch) < 0.6,
            "difficulty": rng.random(batch).astype(np.float32),
        }
        for _ in range(7)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_feedback_is_the_means_over_all_rows_of_the_window(seed: int) -> None:
    steps = random_steps(seed)
    window = FeedbackWindow()
    for step in steps:
        window.count(**step, bins=4)
    feedback = window.feedback()
    rows = {key: np.concatenate([np.atleast_1d(s[key]) for s in steps]) for key in steps[0]}
    right, halting, halted = rows["right"], rows["halting"], rows["halted"]
    assert feedback.loss == pytest.approx(rows["loss"].mean())
    assert feedback.exact_accuracy == pytest.approx(right[halted].mean())
    balanced = (halting[right].mean() + (~halting[~right]).mean()) / 2
    assert feedback.halt_accuracy == pytest.approx(balanced)
    for index, (count, share) in enumerate(feedback.by_difficulty):
        here = halted & (np.floor(rows["difficulty"] * 4) == index)
        assert count == here.sum()
        assert share == pytest.approx(right[here].mean())


def test_halting_that_never_stops_is_not_called_calibrated() -> None:
    nothing = np.zeros(8, dtype=bool)
    window = FeedbackWindow()
    window.count(1.0, nothing, nothing, ~nothing, np.zeros(8, dtype=np.float32), bins=0)
    assert window.feedback().halt_accuracy == 0.5
    assert FeedbackWindow().feedback().halt_accuracy == 0.0
