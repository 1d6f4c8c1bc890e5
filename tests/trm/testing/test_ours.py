"""Our own components keep what their suites ask of a plug-in's."""

from __future__ import annotations

from typing import Any

import pytest

from curricula.component import by_name
from trm.detectors import DETECTORS
from trm.learning.halting import HALTING_RULES
from trm.learning.losses import TOKEN_LOSSES
from trm.learning.optimizers import OPTIMIZERS
from trm.network.mixers import MIXERS
from trm.network.positions import POSITIONS
from trm.tasks import TASKS
from trm.tasks.drawn import DrawnConfig
from trm.testing import (
    check_detector,
    check_halting,
    check_loss,
    check_mixer,
    check_optimizer,
    check_positions,
    check_task,
)

SIZES = {"train_examples": 60, "valid_examples": 12, "test_examples": 12}
ARROWS = {"name": "arrows", "size": 3, "visited": [2, 4], "augment": True, **SIZES}
SUDOKU = {"name": "sudoku", "box": [2, 2], "blanks": 6, **SIZES}
DRAWN = [name for name, kind in TASKS.items() if issubclass(kind, DrawnConfig)]
TASK_SECTIONS: list[dict[str, Any]] = [
    ARROWS,
    SUDOKU,
    *({"name": name, "beyond_examples": 12, **SIZES} for name in DRAWN),
    {"name": "maze", "size": 7, **SIZES},
    {"name": "mixture", "tasks": {"a": ARROWS, "s": SUDOKU}},
]
OWN_FILES = {"arc", "data", "reasoning_gym"}
"""Tried in tests of their own, where their files are made or their package stands in."""


@pytest.mark.parametrize("section", TASK_SECTIONS, ids=lambda section: section["name"])
def test_tasks(section: dict[str, Any]) -> None:
    check_task(by_name(TASKS, section))


@pytest.mark.parametrize("name", MIXERS)
def test_mixers(name: str) -> None:
    check_mixer(name)


@pytest.mark.parametrize("name", POSITIONS)
def test_positions(name: str) -> None:
    check_positions(name)


@pytest.mark.parametrize("name", TOKEN_LOSSES)
def test_losses(name: str) -> None:
    check_loss(name)


@pytest.mark.parametrize(
    "section",
    [{}, {"threshold": 0.8, "eval_threshold": 0.3}, *({"name": n} for n in HALTING_RULES)],
)
def test_halting_rules(section: dict[str, Any]) -> None:
    check_halting(by_name(HALTING_RULES, section, "threshold"))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name: str) -> None:
    check_optimizer(by_name(OPTIMIZERS, name))


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors(name: str) -> None:
    check_detector(name)


def test_every_task_is_tried() -> None:
    assert {section["name"] for section in TASK_SECTIONS} | OWN_FILES == set(TASKS)
