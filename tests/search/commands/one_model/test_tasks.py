from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from search.config.file import presets
from trm.config import experiment_from
from trm.files.yaml12 import read_yaml
from trm.tasks import TASKS


def test_it_lists_every_task_with_what_comes_with_it(cli: Any) -> None:
    result = cli("tasks")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    for name in TASKS:
        [line] = [n for n, line in enumerate(lines) if line.startswith(f"{name}: ")]
        assert "right by " in lines[line + 1]
    after = {lines[n].partition(":")[0]: lines[n + 1] for n in range(len(lines) - 1)}
    assert "sort; right by the rules; augmentation off by default" in after["sort"]
    assert "augmentation on by default" in after["maze"]
    assert "no preset" in after["data"]
    assert "sudoku4" in after["sudoku"]
    for name in presets():
        assert name in result.out


def test_it_previews_sizes_difficulty_and_examples(cli: Any, config: Callable[..., Path]) -> None:
    result = cli("tasks", config(), "--show", "2", "--split", "train")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0].startswith("arrows: 3 x 3 cells, 9 tokens, ")
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["train", "150"], ["valid", "40"], ["test", "30"],
    ]  # fmt: skip
    assert "train:0  difficulty" in result.out
    assert "train:1  difficulty" in result.out
    assert "train:2" not in result.out


def test_set_changes_the_data(cli: Any, config: Callable[..., Path]) -> None:
    first, other = (cli("tasks", config(), "--set", f"task.seed={seed}").out for seed in (0, 1))
    assert first != other


def test_it_writes_a_split(
    cli: Any, config: Callable[..., Path], tmp_path: Path, cache: Path
) -> None:
    path, file = config(), tmp_path / "valid.csv"
    result = cli("tasks", path, "--write", file)
    assert result.out == f"40 valid examples written to {file}\n"
    split = experiment_from(read_yaml(path)).task.build(cache).split("valid")
    rows = list(csv.DictReader(file.open()))
    inputs = np.array([[int(t) for t in row["input"].split()] for row in rows])
    labels = np.array([[int(t) for t in row["label"].split()] for row in rows])
    assert np.array_equal(inputs, split.inputs)
    assert np.array_equal(labels, split.labels)
    assert np.allclose([float(row["difficulty"]) for row in rows], split.difficulty, rtol=1e-5)


def test_bad_input(
    refused: Callable[..., str], config: Callable[..., Path], tmp_path: Path
) -> None:
    path = config()
    cases: list[tuple[list[Any], str]] = [
        (["arrows44"], "did you mean arrows4"),
        ([path, "--set", "task.size=40"], "task.size: 40 must be at most 12"),
        ([path, "--set", "task.name=arows"], "task.name: unknown name 'arows'"),
        ([path, "--show", "0"], "must be a whole number from 1"),
        ([path, "--write", tmp_path / "no" / "x.csv"], "cannot be written: No such file"),
        ([path, "--write", tmp_path], "cannot be written: Is a directory"),
        ([path, "--splt", "test"], "'--splt' is no option: did you mean --split"),
    ]
    for words, message in cases:
        assert message in refused("tasks", *words)


SIZES = {"train_examples": 60, "valid_examples": 20, "test_examples": 10}
MIXTURE = {
    "name": "mixture",
    "tasks": {
        "small": {"name": "arrows", "size": 3, "visited": [2, 4], **SIZES},
        "large": {"name": "arrows", "size": 4, **SIZES},
    },
}


def test_a_mixture_is_shown_by_source(
    cli: Any, config: Callable[..., Path], tmp_path: Path
) -> None:
    path = config({"task": MIXTURE})
    result = cli("tasks", path, "--show", "2")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0].startswith("mixture: 4 x 4 cells, 9 tokens, ")
    assert [line.split()[:3] for line in lines[1:7]] == [
        [name, source, size]
        for name, size in (("train", "60"), ("valid", "20"), ("test", "10"))
        for source in ("small", "large")
    ]
    assert "valid:0  small  difficulty" in result.out
    assert "valid:1  large  difficulty" in result.out
    file = tmp_path / "valid.csv"
    assert cli("tasks", path, "--write", file).code == 0
    assert [row["source"] for row in csv.DictReader(file.open())] == ["small", "large"] * 20


def test_a_mixture_trains_evaluates_and_solves(
    cli: Any, refused: Callable[..., str], config: Callable[..., Path], tmp_path: Path
) -> None:
    falling = {"name": "linear", "start": 1.0, "end": 0.5}
    weights = {"small": falling, "large": 1.0}
    sources = {"name": "mixture", "weights": weights}
    path = config({"task": MIXTURE, "curriculum.sources": sources, "train.budget.steps": 4})
    out = tmp_path / "out"
    assert cli("train", path, "--out", out).code == 0
    row = json.loads(cli("eval", out, "--json").out)
    assert row["examples"] == 40
    assert row["exact_accuracy_by_source"].keys() == {"small", "large"}
    assert sum(row["exact_accuracy_by_source"].values()) / 2 == row["exact_accuracy"]
    assert "  exact by source  small:" in cli("eval", out).out
    for puzzle, rows in (("Rdl udl lll", 3), ("Rdlu ddll uuuu rrrr", 4), ("valid:1", 4)):
        shown = cli("solve", out, puzzle, "--steps", "1").out
        assert len(shown.partition("\n\nstep 1")[0].splitlines()) == rows
    assert "no source takes it: small: 'Rdl' needs 9" in refused("solve", out, "Rdl")
    nested = "task.tasks.small.size=40"
    assert "task.tasks.small.size: 40 must be" in refused("train", path, "--set", nested)
    weight = "curriculum.sources.weights={smal: 1}"
    message = refused("train", path, "--set", weight, "--out", tmp_path / "other")
    assert message.startswith("curriculum.sources.weights.smal: no such source: did you mean small")


POINTERS = {
    "name": "pointers", "cells": 5, "shape": "map", "hops": [1, 3], "beyond": 4,
    "beyond_examples": 9, "train_examples": 150, "valid_examples": 20,
    "test_examples": 20,
}  # fmt: skip


def test_what_lies_beyond_the_trained_range_stands_apart(
    cli: Any, refused: Callable[..., str], config: Callable[..., Path], tmp_path: Path
) -> None:
    path, file, out = config({"task": POINTERS}), tmp_path / "beyond.csv", tmp_path / "out"
    result = cli("tasks", path, "--split", "beyond", "--show", "1")
    assert [line.split()[:2] for line in result.out.splitlines()[1:5]] == [
        ["train", "150"], ["valid", "20"], ["test", "20"], ["beyond", "9"],
    ]  # fmt: skip
    assert "beyond:0  difficulty 4.00" in result.out
    assert cli("tasks", path, "--split", "beyond", "--write", file).code == 0
    assert [row["difficulty"] for row in csv.DictReader(file.open())] == ["4"] * 9
    none = refused("tasks", path, "--split", "beyond", "--set", "task.beyond=null")
    assert none == "--split: 'beyond' names no examples of this pointers: its config has no beyond"
    assert cli("train", path, "--out", out).code == 0
    row = json.loads(cli("eval", out, "--json").out)
    assert row["examples"] == 20
    assert row["beyond"]["examples"] == 9
    assert row["beyond"]["exact_accuracy_by_difficulty"] == {"4": row["beyond"]["exact_accuracy"]}
    shown = cli("eval", out).out
    assert "9 puzzles beyond the trained range\n  exact accuracy  0." in shown
    assert "  exact by difficulty  4:0." in shown
    assert "beyond" not in json.loads(cli("eval", out, "--data", file, "--json").out)


def test_answers_of_which_several_are_right_are_scored_by_the_rules(
    cli: Any, config: Callable[..., Path], tmp_path: Path
) -> None:
    colouring = {
        "name": "colouring", "size": 3, "open": [1, 3], "beyond": None, "train_examples": 60,
        "valid_examples": 30, "test_examples": 9,
    }  # fmt: skip
    path, out = config({"task": colouring, "train.budget.steps": 60}), tmp_path / "out"
    assert cli("train", path, "--out", out).code == 0
    row = json.loads(cli("eval", out, "--json").out)
    assert row["exact_accuracy"] == row["valid_rate"] >= row["label_accuracy"]
    assert "  equal to the label, one of several right answers  " in cli("eval", out).out
