"""Nothing of a curriculum's path is lost when a training stops and goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from curricula.stage import Depth
from tests.support.curricular import EVERYTHING, LINE, MARKS, path_of, weights
from tests.support.trainers import SECOND_HALF, Make
from trm.checkpoint.writing import save_checkpoint
from trm.report import MACHINE_COLUMNS
from trm.training.state import State

ARROWS = {"name": "arrows", "valid_examples": 20, "test_examples": 20}


RESUMED: dict[str, dict[str, Any]] = {
    "all adaptive parts": EVERYTHING,
    "sources, last step, pool": {
        "task": {
            "name": "mixture",
            "tasks": {
                "small": {**ARROWS, "size": 3, "visited": [2, 3], "train_examples": 30},
                "large": {**ARROWS, "size": 4, "visited": [2, 4], "train_examples": 60},
            },
        },
        "train.batch_size": 8,
        "train.budget.steps": 60,
        "curriculum": {
            "name": "hard_to_easy",
            "depth": {"name": "halt_growth", "levels": 2, "patience": 1, "threshold": 0.45},
            "sources": {
                "name": "mixture",
                "weights": {"small": LINE, "large": {"name": "linear"}},
            },
            "supervision": {"name": "ramp", "least": 2},
            "supervision_weights": "last_step",
            "latent_noise": 0.2,
        },
    },
}


STOP = 40


def columns(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in MACHINE_COLUMNS} for row in rows]


def test_resumed_in_a_new_process_is_bit_for_bit_the_straight_run(
    make: Make, cache: Path, tmp_path: Path
) -> None:
    straight: dict[str, list[dict[str, Any]]] = {}
    begun: dict[str, list[dict[str, Any]]] = {}
    for index, (name, changes) in enumerate(RESUMED.items()):
        trainer = make(changes, marks=MARKS)
        straight[name] = [report.row() for report in trainer.run()]
        save_checkpoint(tmp_path / str(index) / "straight", trainer)
        first = make(changes, marks=MARKS)
        stop = lambda first=first: first.counters.step == STOP  # noqa: E731
        begun[name] = [report.row() for report in first.run(stop)]
        assert first.counters.step == STOP < trainer.counters.step - 10
        save_checkpoint(tmp_path / str(index) / "middle", first)
    folders = [tmp_path / str(index) for index in range(len(RESUMED))]
    command = [sys.executable, "-c", SECOND_HALF, *map(str, folders)]
    subprocess.run(command, check=True, env={**os.environ, "TRM_CACHE": str(cache)})
    for folder, name in zip(folders, RESUMED, strict=True):
        rest = json.loads((folder / "resumed.json").read_text())
        assert columns(begun[name] + rest) == columns(straight[name])
        for file in (folder / "straight").glob("*.safetensors"):
            one, other = load_file(file), load_file(folder / "resumed" / file.name)
            assert one.keys() == other.keys()
            assert not [key for key in one if not torch.equal(one[key], other[key])]
        values = [
            json.loads((folder / half / "checkpoint.json").read_text())["values"]
            for half in ("straight", "resumed")
        ]
        for value in values:
            del value["counters"]["seconds"], value["counters"]["train_seconds"]
        assert values[0] == values[1]


def test_the_resumed_runs_exercise_what_they_claim(make: Make) -> None:
    trainer = make(EVERYTHING)
    list(trainer.run(lambda: trainer.counters.step == STOP))
    assert trainer.window.steps > 0  # stopped within a window of feedback
    stages = path_of(make(EVERYTHING))
    depths = [stage.depth for stage in stages]
    assert Depth(1, 1) in depths[:STOP]
    assert (Depth(2, 2), Depth(1, 1)) in list(pairwise(depths))  # a fall
    limits = [stage.supervision_steps for stage in stages]
    assert limits[0] < limits[STOP] < limits[-1]
    assert len({stage.difficulty for stage in stages}) > 10
    assert any(stage.lr_factor < 0.5 for stage in stages)  # while the rate warms up again
    mixed = path_of(make(RESUMED["sources, last step, pool"]))
    assert mixed[0].sources == (1.0, 0.0)
    assert len({stage.sources for stage in mixed}) > 30
    assert len({stage.depth for stage in mixed}) == 2


def test_a_loaded_state_is_the_saved_one(make: Make) -> None:
    first, second = make(EVERYTHING), make({**EVERYTHING, "train.seed": 1})
    list(first.run(lambda: first.counters.step >= STOP and first.window.halted > 0))
    saved = first.state_dict()
    assert saved.values["window"]["halted"] > 0
    assert saved.training["difficulty"].any()
    second.load_state_dict(replace(saved, values=json.loads(json.dumps(saved.values))))
    loaded = second.state_dict()
    assert loaded.values == saved.values
    assert loaded.training.keys() == saved.training.keys()
    unequal = [k for k, t in saved.training.items() if not torch.equal(t, loaded.training[k])]
    assert not unequal
    assert second.stage == first.stage


def old(state: State) -> State:
    """The state as it was written before curricula had one."""
    training = {k: t for k, t in state.training.items() if k not in ("noise", "difficulty")}
    values = json.loads(json.dumps(state.values))
    del values["course"], values["window"]
    for key in ("begun", "difficulty"):
        del values["counters"]["sums"][key]
    return replace(state, training=training, values=values)


@pytest.mark.parametrize("depth", ["none", "cgar"])
def test_a_checkpoint_from_before_curricula_had_a_state_goes_on(make: Make, depth: str) -> None:
    changes = {"curriculum.depth": depth, "train.ema": 0.9}
    straight, first, second = (make(changes) for _ in range(3))
    whole = list(straight.run())
    list(first.run(lambda: first.counters.step == 7))
    second.load_state_dict(old(first.state_dict()))
    last = list(second.run())[-1]
    assert replace(last, seconds=0.0, train_seconds=0.0, train_difficulty=0.0) == replace(
        whole[-1], seconds=0.0, train_seconds=0.0, train_difficulty=0.0
    )
    one, other = weights(straight), weights(second)
    assert all(torch.equal(one[name], other[name]) for name in one)
