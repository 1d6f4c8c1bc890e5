"""The schema for editors takes every preset and flags what `trm` would refuse."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from search.config.file import load_tree, presets
from search.config.json_schema import json_schema
from trm.config import set_value
from trm.files.yaml12 import parse_yaml

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", sorted(presets()))
def test_it_takes_every_preset(name: str) -> None:
    assert not list(VALIDATOR.iter_errors(load_tree(name)))


@pytest.mark.parametrize(
    "text",
    [
        "task: sudoku\nlog: {wandb: online}",
        "task: {name: sudoku, blanks: 4}\nablations: paper",
        "task: {name: sudoku, blanks: [3, 5]}\ncurriculum: {latent_noise: 0.1}",
        "task: arrows\nsearch: {objective: exact_accuracy, constraints: [mean_steps <= 6]}",
        "task: arrows\nsearch: {objective: [exact_accuracy, {column: latency}], first: [default]}",
        "task: {name: mixture, tasks: {a: arrows, b: {name: arrows, size: 5}}}",
        "task: arrows\nmodel: {mixer: {choice: [attention, mlp_t]}, pos_encodings: null}",
    ],
)
def test_it_takes_short_forms_and_distributions(text: str) -> None:
    assert not list(VALIDATOR.iter_errors(parse_yaml(text, "text")))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("train.batch_sise", 64),
        ("train.batch_size", 0),
        ("train.batch_size", "64"),
        ("train.ema", 1.0),
        ("model.mixer", "convolution"),
        ("optimizer.name", "sgd"),
        ("search.scheduler", {"name": "asha", "n_startup_trials": 3}),
        ("search.trials", {"int": [1, 5]}),
        ("sweep", {}),
    ],
)
def test_it_flags_what_is_wrong(path: str, value: Any) -> None:
    tree = copy.deepcopy(load_tree("arrows4"))
    set_value(tree, path, value)
    assert list(VALIDATOR.iter_errors(tree))
