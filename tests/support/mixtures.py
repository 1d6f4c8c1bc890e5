"""Mixtures of small tasks."""

from __future__ import annotations

from typing import Any

from trm.tasks.mixture import MixtureConfig
from trm.validation import validate

SIZES = {"train_examples": 90, "valid_examples": 30, "test_examples": 20}
SMALL = {"name": "arrows", "size": 3, "visited": [2, 4], **SIZES}
LARGE = {"name": "arrows", "size": 4, **SIZES, "train_examples": 45}
SUDOKU = {"name": "sudoku", "box": [2, 2], "blanks": 5, **SIZES}
SECTIONS = {
    "sizes": {"small": SMALL, "large": LARGE},
    "kinds": {"arrows": SMALL, "sudoku": SUDOKU},
    "three": {"sudoku": SUDOKU, "small": SMALL, "wide": {**SUDOKU, "box": [2, 3], "blanks": 9}},
    "twins": {"one": {**SMALL, "seed": 1}, "two": {**SMALL, "seed": 2}},
}


def config(tasks: Any) -> MixtureConfig:
    return validate(MixtureConfig, {"name": "mixture", "tasks": tasks}, "task")
