from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.config.config import read_config
from search.config.file import load_tree, presets
from search.config.sections import SweepSections, sweep_sections
from search.space.space import Space
from trm.config import experiment_from
from trm.errors import UserError
from trm.files.yaml12 import dump_yaml


def refused(tree: dict[str, Any]) -> str:
    with pytest.raises(UserError) as error:
        sweep_sections(tree)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_valid(name: str) -> None:
    tree = load_tree(name)
    experiment = experiment_from(Space.parse(tree).default()[1])
    assert experiment.name == name
    sweep_sections(tree)


def test_defaults() -> None:
    sections = sweep_sections({})
    assert sections == SweepSections()
    assert sections.search.sampler.name == "auto"
    assert sections.search.scheduler.name == "asha"
    assert [o.column for o in sections.search.objective] == ["exact_accuracy"]


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"search": {"trails": 3}}, "search.trails: unknown key: did you mean trials"),
        ({"search": {"trials": 0}}, "search.trials: 0 must be at least 1"),
        ({"search": {"trials": "many"}}, "search.trials: 'many' must be a whole number"),
        ({"search": {"sampler": "tpee"}}, "search.sampler: unknown name 'tpee': did you mean tpe?"),
        (
            {"search": {"sampler": {"name": "tpe", "n_startup_trials": 0}}},
            "search.sampler.n_startup_trials: 0 must be at least 1",
        ),
        ({"search": {"scheduler": {"name": "asha", "eta": 1}}}, "search.scheduler.eta: 1 must be"),
        (
            {"search": {"objective": "exact"}},
            "search.objective[0]: 'exact' is no column of the reports: did you mean exact_accuracy",
        ),
        ({"search": None}, "search: null must be a section, with keys such as"),
        ({"stability": {"seeds": 0}}, "stability.seeds: 0 must be at least 1"),
        ({"stability": {"promise_seeds": 1}}, "stability.promise_seeds: 1 must be at least 2"),
        ({"stability": {"confidence": 1.0}}, "stability.confidence: 1.0 must be less than 1"),
        (
            {"cluster": {"gpus_per_trial": 1.5}},
            "cluster.gpus_per_trial: 1.5 must be a whole number",
        ),
        ({"cluster": {"parallel": 0}}, "cluster.parallel: 0 must be at least 1"),
        (
            {"cluster": {"adress": "auto"}},
            "cluster.adress: unknown key: did you mean address, nodes?",
        ),
    ],
)
def test_bad_sections_are_one_line(tree: dict[str, Any], message: str) -> None:
    assert refused(tree).startswith(message)


def test_a_file_and_its_settings(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("task: {name: arrows, size: 4}\ntrain: {seed: 1}\n")
    sets = ["train.seed=2", "optimizer.lr={loguniform: [1e-4, 1e-2]}", "train.ema=null", "name=a=b"]
    assert load_tree(path, sets) == {
        "task": {"name": "arrows", "size": 4},
        "train": {"seed": 2, "ema": None},
        "optimizer": {"lr": {"loguniform": [1e-4, 1e-2]}},
        "name": "a=b",
    }
    assert load_tree(str(path)) == {"task": {"name": "arrows", "size": 4}, "train": {"seed": 1}}


def test_puzzle_files_are_made_absolute_wherever_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sudoku, hub = {"name": "sudoku", "file": "puzzles.txt"}, {"name": "sudoku", "hub": "a/b"}
    absolute = {"name": "sudoku", "file": str(tmp_path / "puzzles.txt")}
    for task, expected in (
        (sudoku, absolute),
        ({"name": "mixture", "tasks": {"a": sudoku, "b": hub}},
         {"name": "mixture", "tasks": {"a": absolute, "b": hub}}),
        ({"choice": [sudoku, hub]}, {"choice": [absolute, hub]}),
        ("sudoku", "sudoku"),
    ):  # fmt: skip
        (tmp_path / "a.yaml").write_text(dump_yaml({"task": task}))
        assert load_tree("a.yaml") == {"task": expected}


def test_data_is_found_beside_the_file_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    monkeypatch.chdir(here)
    config = there / "a.yaml"
    config.write_text(dump_yaml({"task": {"name": "sudoku", "file": "data/p.txt"}}))
    assert load_tree(config)["task"]["file"] == str(here / "data/p.txt"), "neither is there"
    for folder in (there, here):
        (folder / "data").mkdir()
        (folder / "data/p.txt").write_text("")
        assert load_tree(config)["task"]["file"] == str(folder / "data/p.txt")
        assert read_config(config).default_tree["task"]["file"] == str(folder / "data/p.txt")


def test_a_unit_of_the_budget_takes_the_place_of_the_files(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("task: arrows\ntrain: {budget: {flops: 1e15, steps: null, minutes: null}}\n")

    def budget(*sets: str) -> Any:
        return load_tree(path, sets)["train"]["budget"]

    assert budget("train.budget.steps=40") == {"steps": 40}
    assert budget("train.budget={minutes: 2}") == {"minutes": 2}
    assert budget("train.budget={minutes: 2}", "train.budget.steps=9") == {"steps": 9}
    assert budget("train.budget.steps=null")["flops"] == 1e15, "which sets nothing"
    assert read_config(path, ["train.budget.minutes=2"]).default.train.budget.minutes == 2
    with pytest.raises(UserError, match="holds steps and flops"):
        read_config(path, ["train.budget.steps=2", "train.budget.flops=1e9"])


def test_a_file_wins_over_a_preset_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "arrows4").write_text("name: mine\n")
    monkeypatch.chdir(tmp_path)
    assert load_tree("arrows4") == {"name": "mine"}


@pytest.mark.parametrize(
    ("source", "sets", "message"),
    [
        ("arrow4", [], "arrow4: neither a file nor a preset: did you mean arrows4"),
        ("none.yaml", [], "none.yaml: No such file"),
        ("arrows4", ["x"], "--set: 'x' must be key=value"),
        ("arrows4", ["=3"], "--set: '=3' must be key=value"),
        ("arrows4", ["a..b=3"], "--set: 'a..b' holds an empty key"),
        ("arrows4", ["name.x=3"], "--set: 'name.x' 'name' holds a value, not a section"),
        (
            "arrows4",
            ["search.sampler=qmc", "search.sampler.block=3"],
            "--set: 'search.sampler.block' "
            "'sampler' holds a value, not a section: set it whole, as in "
            "search.sampler={name: qmc, block: ...}",
        ),
        ("arrows4", ["train.seed={"], "--set train.seed:1:2: broken YAML"),
        ("arrows4", ["serach.trials=3"], "serach: unknown section: did you mean search?"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(source: str, sets: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        load_tree(source, sets)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
