from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.curves import Config, assert_same_run, curve
from trm.files.yaml12 import read_yaml
from trm.report import COLUMNS, MACHINE_COLUMNS


def test_a_run_leaves_config_curve_and_checkpoints(
    cli: Any, config: Config, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = cli("train", config(), "--out", out, "--set", "train.seed=3", "--set", "train.ema=0.9")
    assert (result.code, result.err) == (0, "")
    assert result.out.count("\n") == 1
    assert "after 20 steps in " in result.out
    assert str(out) in result.out
    tree = read_yaml(out / "config.yaml")
    assert (tree["train"]["seed"], tree["train"]["ema"]) == (3, 0.9)
    assert tree["model"]["rope_theta"] == 10_000.0  # every default is written out
    rows = curve(out)
    assert [row["step"] for row in rows] == [10, 20]
    assert set(rows[0]) == {key for key in COLUMNS if key not in MACHINE_COLUMNS}
    names = sorted(path.name for path in (out / "checkpoints").iterdir())
    assert names == ["000000010-0001", "000000020-0002"]


def test_the_config_it_wrote_trains_the_same_model(
    cli: Any, config: Config, tmp_path: Path
) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    assert cli("train", config(), "--out", first).code == 0
    assert cli("train", first / "config.yaml", "--out", second).code == 0
    assert_same_run(first, second)


def test_json_prints_each_report_as_a_line(cli: Any, config: Config, tmp_path: Path) -> None:
    result = cli("train", config(), "--out", tmp_path / "out", "--json")
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert [row["mark"] for row in rows] == [1, 2]
    assert list(rows[0]) == list(COLUMNS)
    assert (tmp_path / "out" / "reports.jsonl").read_text() == result.out


def test_the_default_folder_is_named_after_the_config(
    cli: Any, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("train", config({"name": "fine"}), "--set", "train.budget.steps=1").code == 0
    assert (tmp_path / "runs" / "fine-train" / "config.yaml").is_file()


def test_searched_values_are_taken_at_their_defaults(
    cli: Any, config: Config, tmp_path: Path
) -> None:
    lr = {"loguniform": {"low": 1e-4, "high": 1e-1, "default": 3e-3}}
    path = config({"optimizer.lr": lr, "search": {"trials": 3}, "train.budget.steps": 1})
    assert cli("train", path, "--out", tmp_path / "out").code == 0
    assert read_yaml(tmp_path / "out" / "config.yaml")["optimizer"]["lr"] == 3e-3


def test_a_run_that_diverges_ends_with_one_and_says_why(
    cli: Any, config: Config, tmp_path: Path
) -> None:
    sets = ["--set", "optimizer.lr=1e4", "--set", "train.budget.steps=500"]
    path, out = config({"optimizer.lr_warmup_steps": 0}), tmp_path / "out"
    result = cli("train", path, "--out", out, *sets, "--json")
    assert result.code == 1
    assert result.err.startswith("trm: training diverged at step ")
    assert result.err.count("\n") == 1
    assert "lower optimizer.lr" in result.err

    def no_constant(name: str) -> Any:
        raise AssertionError(f"{name} is no JSON")

    rows = [json.loads(line, parse_constant=no_constant) for line in result.out.splitlines()]
    assert rows[-1]["diverged"] is True
    again = cli("train", path, "--out", out, *sets, "--resume")
    assert (again.code, again.err) == (1, result.err)


def test_bad_input_is_one_line_and_exit_code_2(
    refused: Callable[..., str], config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = config()
    cases: list[tuple[list[Any], str]] = [
        (["arrows44"], "arrows44: neither a file nor a preset: did you mean arrows4"),
        (["no.yaml"], "no.yaml: No such file"),
        ([tmp_path], "neither a file nor a preset"),
        ([path, "--set", "train.sed=3"], "train.sed: unknown key: did you mean seed?"),
        ([path, "--set", "trian.seed=3"], "trian: unknown section: did you mean train?"),
        ([path, "--set", "train.seed"], "--set: 'train.seed' must be key=value"),
        ([path, "--set", "train.seed=[1"], "--set train.seed:1:3: broken YAML"),
        ([path, "--set", "train.ema.x=1"], "--set: 'train.ema.x' 'ema' holds a value"),
        ([path, "--set", "train.seed=a"], "train.seed: 'a' must be a whole number"),
        ([path, "--set", "train.budget.steps=0"], "train.budget.steps: 0 must be greater than 0"),
        ([path, "--set", "train.batch_size=0"], "train.batch_size: 0 must be at least 1"),
        ([path, "--set", "train.device=cuda:9"], "train.device: 'cuda:9' is not there"),
        ([path, "--set", "optimizer.lr={uniform: [2, 1]}"], "optimizer.lr"),
        ([path, "--set", "plugins=[no_such]"], "plugins: 'no_such' cannot be imported"),
        ([path, "--out", "/proc/no/such"], "--out: '/proc/no/such' cannot be made"),
        ([path, "--out", path], "is a file: name a folder"),
        ([path, "--out", path / "run"], "cannot be made: Not a directory"),
        ([path, "--out", tmp_path], "is not empty"),
        ([path, "--out", "s3://bucket/run"], "must be a local folder"),
        ([path, "--resum"], "trm train: '--resum' is no option: did you mean --resume"),
        ([path, "--st", "a=b"], "trm train: '--st' is no option: did you mean --set"),
        ([path, "extra"], "trm train: 'extra' is no argument"),
        ([], "the following arguments are required: config; see `trm train --help`"),
    ]
    for words, message in cases:
        assert message in refused("train", *words)
    assert not (tmp_path / "runs" / "tiny-train" / "config.yaml").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: {name: arrows\n", ":2:1: broken YAML"),
        ("task: arrows\nmodel:\n  H_cycles: 1\n H_cycles: 2\n", ":4:2: broken YAML"),
        ("task: arrows\ntask: sudoku\n", ":2:1: broken YAML: the key 'task' stands twice"),
        ("- a\n", "must hold a mapping"),
        ("", "must hold a mapping"),
        ("3: 4\ntask: arrows\n", "3: unknown section"),
    ],
)
def test_broken_yaml_names_line_and_column(
    text: str, message: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    assert message in refused("train", tmp_path / "bad.yaml", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["123412341234123"], "puzzles.txt, line 1: "),
        (["1234341221434321", "12y4341221434321"], "puzzles.txt, line 2: "),
        (["1134341221434321"], "puzzles.txt, line 1: "),
        (["1...............", "................"], "puzzles.txt, line 1: "),
        (["123.3..........4"], "puzzles.txt, line 1: "),
        ([], "holds no puzzle"),
        (None, "there is no such file"),
    ],
)
def test_a_bad_puzzle_file_names_its_line(
    lines: list[str] | None, message: str, refused: Callable[..., str], config: Config,
    tmp_path: Path,
) -> None:  # fmt: skip
    file = tmp_path / "puzzles.txt"
    if lines is not None:
        file.write_text("".join(line + "\n" for line in lines))
    path = config({"task": {"name": "sudoku", "box": [2, 2], "file": str(file)}})
    out = tmp_path / "out"
    assert message in refused("train", path, "--out", out)
    # Once the file is mended, the same command must not stumble over its own folder.
    assert message in refused("train", path, "--out", out)


def test_compiling_without_a_compiler_is_refused(
    refused: Callable[..., str], config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    text = refused("train", config(), "--out", tmp_path / "out", "--set", "train.compile=true")
    assert "train.compile: True needs a C++ compiler, and 'no-such-compiler' is not there" in text
    assert text.rstrip().endswith("or set train.compile: false")


def test_another_run_is_not_written_over(
    cli: Any, refused: Callable[..., str], config: Config, tmp_path: Path
) -> None:
    path, out = config({"train.budget.steps": 2}), tmp_path / "out"
    assert cli("train", path, "--out", out).code == 0
    before = curve(out)
    assert "already holds a run: add --resume" in refused("train", path, "--out", out)
    text = refused("train", path, "--out", out, "--resume", "--set", "optimizer.lr=0.5")
    assert text.startswith("optimizer.lr: 0.5 differs from 0.01 in ")
    text = refused("train", path, "--out", out, "--resume", "--set", "task.seed=5")
    assert text.startswith("task.seed: 5 differs from 0 in ")
    assert curve(out) == before


def test_a_folder_in_use_is_refused(
    refused: Callable[..., str], config: Config, tmp_path: Path
) -> None:
    from trm.files.lock import FileLock

    (tmp_path / "out").mkdir()
    lock = FileLock(tmp_path / "out" / "lock")
    try:
        text = refused("train", config(), "--out", tmp_path / "out")
    finally:
        lock.release()
    assert f"is in use by process {os.getpid()}" in text


def test_from_another_run(
    cli: Any, refused: Callable[..., str], config: Config, tmp_path: Path
) -> None:
    path, base, out = config({"train.budget.steps": 2}), tmp_path / "base", tmp_path / "out"
    words = ("train", path, "--set", "task.seed=5", "--out", out, "--from")
    assert refused(*words, base) == f"{base}: is not there: check the path"
    base.mkdir()
    line = f"{base}: holds no checkpoint: give the folder of `trm train` or a checkpoint in it"
    assert refused(*words, base) == line
    assert cli("train", path, "--out", base).code == 0
    larger = refused(*words, base, "--set", "model.hidden_size=32")
    assert larger.startswith("model.hidden_size: 32 differs from 16 in ")
    assert not out.exists()
    result = cli(*words, base)
    assert result.code == 0
    assert result.err.startswith("trm: starts from the weights of step 2 in ")
    again = cli(*words, base, "--resume")
    assert (again.code, again.err) == (0, "")
    assert "--from" in refused("train", path, "--out", base, "--resume", "--from", out)


def test_verbose_says_each_decision_in_a_line(cli: Any, config: Config, tmp_path: Path) -> None:
    path = config()
    said = cli("train", path, "--out", tmp_path / "a", "-v").err
    keys = "device precision threads compile kernel cuda_graphs budget eval_share"
    for key in keys.split():
        assert len(re.findall(rf"^trm: train\.{key}: .+ \(.+\)$", said, re.MULTILINE)) == 1
    assert "train.kernel" not in cli("train", path, "--out", tmp_path / "b").err
