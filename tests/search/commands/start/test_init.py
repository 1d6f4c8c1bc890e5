"""`trm init`: a first config for a user's data, and the presets."""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.cli import main
from search.commands.start.first_config import FirstSizes, timed_sizes
from search.config.config import read_config
from search.config.file import presets


@pytest.fixture
def sorting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """10,000 rows of sorting 8 digits, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("search.sweep.dry_run._TIMED_SECONDS", 0.1)
    draw = random.Random(0)
    with Path("sorting.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["inputs", "labels"])
        for _ in range(10_000):
            digits = [draw.choice("0123456789") for _ in range(8)]
            writer.writerow(["".join(digits), "".join(sorted(digits))])
    return tmp_path


def test_a_config_for_data(cli: Any, sorting: Path) -> None:
    result = cli("init", "sorting.csv")
    assert (result.code, result.err) == (0, "")
    Path("my.yaml").write_text(result.out)
    config = read_config("my.yaml")
    assert config.default.name == "sorting"
    assert config.default.task.name == "data"
    assert len(config.space.parameters) == 5
    assert re.search(r"a trial takes about \d+ (seconds|minutes)", result.out)
    assert "# A first config for sorting.csv: 8,000 train, 1,000 valid, 1,000 test" in result.out
    assert "10 tokens and padding:\n#   0 1 2 3 4 5 6 7 8 9\n" in result.out


@pytest.mark.parametrize(("steps", "warmup"), [(200, 50), (1000, 50), (20_000, 1000)])
def test_short_runs_warm_up_as_long_as_attention_needs(steps: int, warmup: int) -> None:
    assert FirstSizes(64, 64, steps, 100).warmup == warmup


class _Rows:
    """Stands for a task with so many training examples."""

    def __init__(self, train: int) -> None:
        self.train = train

    def split(self, name: str) -> range:
        return range(self.train)


@pytest.mark.parametrize(
    ("seconds", "train", "steps"),
    [
        (20.0, 8000, 3000),  # a quick machine: what a minute allows
        (120.0, 8000, 1000),  # 500 in a minute, so a trial may take two
        (300.0, 8000, 500),  # no more than three minutes
        (6000.0, 8000, 200),  # the least
        (20.0, 160, 500),  # few examples are soon known by heart
    ],
)
def test_a_trial_has_the_steps_that_learning_takes(seconds: float, train: int, steps: int) -> None:
    sizes = FirstSizes(64, 64, 1000, 100)
    assert timed_sizes(sizes, _Rows(train), seconds, gpu=False).steps == steps  # type: ignore[arg-type]


def test_keys_of_the_task_are_kept(cli: Any, sorting: Path) -> None:
    text = cli("init", "sorting.csv", "--set", "task.grid=[2,4]", "--set", "task.seed=3").out
    Path("my.yaml").write_text(text)
    task = read_config("my.yaml").default.task
    assert (task.grid, task.seed) == ([2, 4], 3)  # type: ignore[attr-defined]
    assert "a grid of 2 x 4 cells" in text


def test_presets(cli: Any, refused: Callable[..., str]) -> None:
    listed = cli("init", "--list").out
    for name, path in presets().items():
        assert f"{name} " in listed
        assert cli("init", name).out == path.read_text()
    assert "is for data" in refused("init", "arrows4", "--set", "task.size=5")
    assert "names no data" in refused("init")
    assert "is a config already" in refused("init", "mine.yaml")
    assert "there is no such file" in refused("init", "nowhere.csv")
    assert "is no key of the task" in refused("init", "nowhere.csv", "--set", "train.seed=1")


@pytest.mark.slow
def test_from_a_csv_to_a_confirmed_winner_in_three_commands(cli: Any, sorting: Path) -> None:
    assert cli("tasks", "check", "sorting.csv").code == 0
    Path("my.yaml").write_text(cli("init", "sorting.csv").out)
    small = ["--trials", "3", "--set", "train.budget.steps=40", "--set", "stability.seeds=1"]
    found = cli("sweep", "my.yaml", "--out", "runs/my", *small)
    assert found.code == 0, found.err
    assert json.loads(cli("status", "runs/my", "--json").out)
    # What is exported trains the same tokens, whatever becomes of the file.
    Path("best.yaml").write_text(cli("export", "runs/my").out)
    best = read_config("best.yaml").default
    assert best.task.vocabulary == list("0123456789")  # type: ignore[attr-defined]
    assert (
        best.task.build(Path("other")).data_hash
        == read_config("my.yaml").default.task.build().data_hash
    )


def test_the_list_has_a_line_for_every_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(presets())
    for line in lines:
        assert len(line) <= 100
        assert line.endswith((".", "?", " ..."))
