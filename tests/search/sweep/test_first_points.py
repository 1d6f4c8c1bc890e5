"""Known good points: what `search.first` may hold, and what is refused before a sweep starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.config.config import config_from
from search.explore.warm_start import distinct
from search.sweep.first_points import resolve_first
from trm.config import experiment_from
from trm.errors import UserError
from trm.files.yaml12 import dump_yaml

TREE: dict[str, Any] = {
    "task": {"name": "arrows", "size": 3, "visited": [2, 4]},
    "model": {
        "hidden_size": {"choice": [16, 24, 32]},
        "num_heads": {"choice": [2, 3]},
        "H_cycles": {"int": {"low": 1, "high": 4, "default": 1}},
    },
    "optimizer": {
        "choice": [
            {"name": "adamw", "lr": {"loguniform": [1e-5, 1e-2]}},
            {"name": "adam_atan2", "lr": {"loguniform": [1e-4, 1e-1]}},
        ]
    },
    "train": {"ema": {"choice": [None, 0.9]}},
}
CONFIG = config_from(TREE)
SPACE = CONFIG.space
DEFAULT = SPACE.default()[0]


def test_the_default_comes_first_even_when_it_is_not_listed() -> None:
    assert resolve_first(CONFIG.with_search(first=[])) == [DEFAULT]
    other = {"model.H_cycles": 3}
    found = resolve_first(CONFIG.with_search(first=[other, "default", {}]))
    assert found == [DEFAULT, {**DEFAULT, "model.H_cycles": 3}]


def test_a_mapping_sets_some_parameters() -> None:
    entry = {"optimizer": "adam_atan2", "optimizer[adam_atan2].lr": 0.05, "train.ema": None,
             "model.hidden_size": 32}  # fmt: skip
    (_, found) = resolve_first(CONFIG.with_search(first=[entry]))
    assert found == {
        "model.H_cycles": 1, "model.hidden_size": "32", "model.num_heads": "2",
        "optimizer": "adam_atan2", "optimizer[adam_atan2].lr": 0.05, "train.ema": "null",
    }  # fmt: skip
    SPACE.apply(found)


def test_the_reference_and_a_file(tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    tree = {
        "task": {"name": "arrows", "size": 4, "visited": [2, 4]},
        "model": {"hidden_size": 32, "num_heads": 2, "H_cycles": 2},
        "optimizer": {"name": "adamw", "lr": 2e-4},
        "train": {"ema": 0.9},
        "search": {"trials": 3},
    }
    path.write_text(dump_yaml(tree))
    exported = tmp_path / "exported.yaml"
    exported.write_text(dump_yaml(experiment_from(tree).tree()))
    found = resolve_first(CONFIG.with_search(first=["reference", str(path), str(exported)]))
    assert len(found) == 3, "both files are one point"
    assert found[1]["model.H_cycles"] == 3
    assert found[2]["optimizer[adamw].lr"] == 2e-4
    assert found[2]["train.ema"] == "0.9"


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"model.H_cycle": 2}, "model.H_cycle: is no parameter: did you mean model.H_cycles"),
        ({"model.H_cycles": 9}, "model.H_cycles: 9 is outside int [1, 4]"),
        ({"train.ema": 0.5}, "train.ema: 0.5 is outside choice of null, 0.9"),
        ({"optimizer[adam_atan2].lr": 0.01}, "lr: does not exist here: it needs "),
        ({"model.num_heads": 3}, "model: num_heads 3 must divide hidden_size 16"),
        ("refrence", "refrence: is no run folder and no file"),
        ("no/such.yaml", "no/such.yaml: is no run folder and no file"),
    ],
)  # fmt: skip
def test_what_is_refused_names_its_entry(entry: Any, complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve_first(CONFIG.with_search(first=["default", entry]))
    text = str(caught.value)
    assert text.startswith("search.first[1]: ")
    assert complaint in text
    assert "\n" not in text


def test_a_file_outside_the_space_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "far.yaml"
    path.write_text(dump_yaml({"task": {"name": "arrows", "size": 4, "visited": [2, 4]},
                               "optimizer": {"name": "adam_atan2", "lr": 0.5}}))  # fmt: skip
    with pytest.raises(UserError, match=r"search\.first\[0\]: optimizer\[muon\]\.lr: 0\.5|hidden"):
        resolve_first(CONFIG.with_search(first=[str(path)]))


def test_distinct_keeps_the_first_of_equal_points() -> None:
    points: list[dict[str, Any]] = [{"a": 1}, {"a": 2}, {"a": 1}, {"a": 3}, {"a": 2}]
    assert distinct(points) == [{"a": 1}, {"a": 2}, {"a": 3}]
