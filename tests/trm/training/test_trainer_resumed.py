"""A training that is stopped and resumed in a new process is the one that was not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.support.trainers import EVERYTHING, SECOND_HALF, Make, assert_same, rows
from trm.checkpoint.writing import save_checkpoint
from trm.config import experiment_from
from trm.files.sums import is_sound
from trm.report import MACHINE_COLUMNS
from trm.training.trainer import Trainer

RESUMED: dict[str, dict[str, Any]] = {
    "adamw, mlp_t": EVERYTHING,
    "adam_atan2, attention, continue head, clipped": {
        **EVERYTHING,
        "optimizer.name": "adam_atan2",
        "optimizer.grad_clip": 0.5,
        "model.mixer": "attention",
        "model.no_ACT_continue": False,
        "loss.loss_type": "softmax_cross_entropy",
    },
    "bfloat16, no EMA, constant rate": {
        "train.precision": "bfloat16",
        "train.batch_size": 4,
        "train.budget.steps": 100,
        "optimizer.lr_min_ratio": 1.0,
        "model.pos_encodings": "learned",
    },
}


@pytest.fixture(scope="module")
def halves(
    tiny: Callable[..., dict[str, Any]], cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, list[dict[str, Any]], list[dict[str, Any]]]]:
    """Folder, reports of the straight run and reports of the two halves, by what is resumed."""
    done: dict[str, tuple[Path, list[dict[str, Any]], list[dict[str, Any]]]] = {}
    for name, changes in RESUMED.items():
        folder = tmp_path_factory.mktemp("halves")
        config = experiment_from(tiny(changes))
        task = config.task.build(cache)
        marks = (0.1, 0.7, 1.0)
        straight = Trainer(config, task, marks=marks)
        whole = rows(list(straight.run()))
        save_checkpoint(folder / "straight", straight)
        first = Trainer(config, task, marks=marks)
        reports = rows(list(first.run(lambda: first.counters.step == 50)))  # noqa: B023
        assert first.counters.step == 50
        save_checkpoint(folder / "middle", first)
        done[name] = (folder, whole, reports)
    folders = [str(folder) for folder, _, _ in done.values()]
    environment = {**os.environ, "TRM_CACHE": str(cache)}
    subprocess.run([sys.executable, "-c", SECOND_HALF, *folders], check=True, env=environment)
    for folder, _, reports in done.values():
        rest = json.loads((folder / "resumed.json").read_text())
        reports += [{k: v for k, v in r.items() if k not in MACHINE_COLUMNS} for r in rest]
    return done


@pytest.mark.parametrize("name", RESUMED)
def test_resumed_in_a_new_process_is_bit_for_bit_the_straight_run(
    name: str, halves: dict[str, tuple[Path, list[dict[str, Any]], list[dict[str, Any]]]]
) -> None:
    folder, whole, reports = halves[name]
    assert whole[-1]["step"] >= 90
    assert [row["step"] for row in reports] == [row["step"] for row in whole]
    assert reports == whole
    files = {path.name for path in (folder / "straight").glob("*.safetensors")}
    assert ("ema.safetensors" in files) == ("train.ema" in RESUMED[name])
    for file in files:
        assert_same(load_file(folder / "straight" / file), load_file(folder / "resumed" / file))
    values = [
        json.loads((folder / f / "checkpoint.json").read_text()) for f in ("straight", "resumed")
    ]
    for value in values:
        assert is_sound(value)
        del value["crc32"]  # of the seconds, too
        assert value["values"]["counters"].pop("seconds") > 0
        assert value["values"]["counters"].pop("train_seconds") > 0
    assert values[0] == values[1]


def test_the_resumed_runs_exercise_what_they_claim(make: Make) -> None:
    trainer = make(EVERYTHING, marks=(0.1, 0.7, 1.0))
    stages = {}
    for _ in trainer.run(lambda: stages.setdefault(trainer.counters.step, trainer.stage) is None):
        pass
    assert stages[50] != stages[1]
    assert stages[50] != stages[max(stages)]
    assert trainer.stream.drawn > 150  # past the first epoch
