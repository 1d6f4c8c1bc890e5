from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import trm.run.training
from search.cli import main
from tests.support.plugin_folder import working_in
from trm.errors import NewRunWarning
from trm.files.yaml12 import read_yaml
from trm.report import COLUMNS, MACHINE_COLUMNS
from trm.training.trainer import Trainer

Config = Callable[..., Path]
TRM = Path(sys.executable).with_name("trm")


def curve(folder: Path) -> list[dict[str, Any]]:
    """The reports of a run, measured times left out."""
    lines = (folder / "reports.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [{k: v for k, v in row.items() if k not in MACHINE_COLUMNS} for row in rows]


def last_weights(folder: Path) -> dict[str, torch.Tensor]:
    newest = sorted((folder / "checkpoints").iterdir())[-1]
    files = sorted(newest.glob("*.safetensors"))
    return {f"{file.name}/{k}": t for file in files for k, t in load_file(file).items()}


def assert_same_run(one: Path, other: Path) -> None:
    assert read_yaml(one / "config.yaml") == read_yaml(other / "config.yaml")
    assert curve(one) == curve(other)
    a, b = last_weights(one), last_weights(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


# --- a run and its folder ----------------------------------------------------------------------


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


# --- bad input ---------------------------------------------------------------------------------


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


def test_a_corrupt_checkpoint_is_named_on_resume(
    cli: Any, refused: Callable[..., str], config: Config, tmp_path: Path
) -> None:
    path, out = config({"train.budget.steps": 2}), tmp_path / "out"
    assert cli("train", path, "--out", out).code == 0
    newest = sorted((out / "checkpoints").iterdir())[-1]
    file = newest / "training.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    assert f"{file}: damaged" in refused("train", path, "--out", out, "--resume")
    file.unlink()
    assert f"{file}: is missing" in refused("train", path, "--out", out, "--resume")
    (newest / "checkpoint.json").write_text("{")
    assert "checkpoint.json: damaged" in refused("train", path, "--out", out, "--resume")


# --- fine-tuning -------------------------------------------------------------------------------


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


# --- stop and resume ---------------------------------------------------------------------------


LONG = {
    "train.budget.steps": 300, "train.reports": 8, "train.ema": 0.9, "task.augment": True,
    "train.valid_examples": 10, "train.batch_size": 8, "model.H_cycles": 1, "model.L_cycles": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(
    tiny: Callable[..., dict[str, Any]], cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The YAML file and the folder of a run that nothing stopped."""
    from trm.files.yaml12 import dump_yaml

    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "long.yaml").write_text(dump_yaml(tiny(LONG)))
    assert main(["train", str(folder / "long.yaml"), "--out", str(folder / "run")]) == 0
    return folder / "long.yaml", folder / "run"


def started(path: Path, out: Path, reports: int) -> subprocess.Popen[str]:
    """`trm train` in a process of its own, once it has reported so often."""
    command = [str(TRM), "train", str(path), "--out", str(out)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        file = out / "reports.jsonl"
        if file.exists() and file.read_text().count("\n") >= reports:
            return process
        time.sleep(0.02)
    raise AssertionError(process.communicate())


def test_after_ctrl_c_the_printed_command_goes_on_to_the_same_end(
    undisturbed: tuple[Path, Path], cli: Any, tmp_path: Path
) -> None:
    path, whole = undisturbed
    out = tmp_path / "a folder"
    process = started(path, out, 1)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert printed == ""
    assert errors.count("\n") == 1
    assert errors.startswith("trm: interrupted at step ")
    assert 0 < len(curve(out)) < 8
    command = shlex.split(errors.split("resume with: ")[1])
    assert command == ["trm", "train", str(path), "--out", str(out), "--resume"]
    assert cli(*command[1:]).code == 0
    assert_same_run(out, whole)


def test_after_kill_9_resume_goes_on_to_the_same_end(
    undisturbed: tuple[Path, Path], cli: Any, tmp_path: Path
) -> None:
    path, whole = undisturbed
    out = tmp_path / "out"
    process = started(path, out, 2)
    process.kill()
    process.communicate()
    (out / "checkpoints" / ".000000999-0009.1.partial").mkdir()
    with (out / "reports.jsonl").open("a") as file:
        file.write('{"mark": 7, "st')  # a line that was cut off
    result = cli("train", path, "--out", out, "--resume")
    assert (result.code, result.err) == (0, "")
    assert_same_run(out, whole)
    assert not list((out / "checkpoints").glob(".*"))


def test_resume_of_a_finished_run_says_how_it_ended(
    undisturbed: tuple[Path, Path], cli: Any, tmp_path: Path
) -> None:
    path, whole = undisturbed
    shutil.copytree(whole, tmp_path / "out")
    result = cli("train", path, "--out", tmp_path / "out", "--resume")
    assert result.code == 0
    assert "after 300 steps" in result.out
    assert_same_run(tmp_path / "out", whole)


def test_resume_begins_a_run_where_there_is_none_and_says_so(
    cli: Any, config: Config, tmp_path: Path
) -> None:
    path = config({"train.budget.steps": 2})
    line = f"--resume: {tmp_path / 'out'} is not there, so a new run is begun"
    with pytest.warns(NewRunWarning, match=re.escape(line)):
        result = cli("train", path, "--out", tmp_path / "out", "--resume")
    assert result.code == 0
    assert [row["step"] for row in curve(tmp_path / "out")] == [1, 2]


def test_a_crash_between_report_and_checkpoint_repeats_no_report(
    cli: Any, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config()
    assert cli("train", path, "--out", tmp_path / "whole").code == 0
    save = trm.run.training.keep_checkpoint

    def crash(out: Path, trainer: Trainer, origin: dict[str, str]) -> None:
        if trainer.counters.mark == 2:
            raise RuntimeError("the machine stops")
        save(out, trainer, origin)

    monkeypatch.setattr(trm.run.training, "keep_checkpoint", crash)
    with pytest.raises(RuntimeError, match="the machine stops"):
        cli("train", path, "--out", tmp_path / "out")
    monkeypatch.undo()
    assert len(curve(tmp_path / "out")) == 2
    assert cli("train", path, "--out", tmp_path / "out", "--resume").code == 0
    assert_same_run(tmp_path / "out", tmp_path / "whole")


def test_checkpoints_come_by_time_too(
    cli: Any, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config({"train.reports": 1})
    assert cli("train", path, "--out", tmp_path / "whole").code == 0
    monkeypatch.setattr(trm.run.training, "CHECKPOINT_SECONDS", 0.0)
    stop = {"step": 7}
    step = Trainer.train_step

    def die(trainer: Trainer) -> None:
        if trainer.counters.step == stop["step"]:
            raise RuntimeError("power cut")
        step(trainer)

    monkeypatch.setattr(Trainer, "train_step", die)
    with pytest.raises(RuntimeError, match="power cut"):
        cli("train", path, "--out", tmp_path / "out")
    names = sorted(folder.name for folder in (tmp_path / "out" / "checkpoints").iterdir())
    assert names == ["000000006-0000", "000000007-0000"]
    monkeypatch.undo()
    assert cli("train", path, "--out", tmp_path / "out", "--resume").code == 0
    assert_same_run(tmp_path / "out", tmp_path / "whole")


def test_ctrl_c_before_training_prints_the_whole_command(
    cli: Any, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    path = config()
    monkeypatch.setattr(trm.run.training, "begun_trainer", interrupt)
    result = cli("train", path, "--set", "name=a b", "--out", tmp_path / "out")
    assert result.code == 130
    command = f"trm train {path} --set 'name=a b' --out {tmp_path / 'out'} --resume"
    assert result.err == f"trm: interrupted; resume with: {command}\n"


def test_a_resume_under_other_code_of_a_plugin_says_so(
    cli: Any, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with working_in(tmp_path, monkeypatch):
        plugin = tmp_path / "resumed_plugin_of_test.py"
        plugin.write_text("")
        command = ["train", config(), "--set", f"plugins=[{plugin.stem}]", "--out", "out"]
        assert cli(*command).err == ""
        assert cli(*command, "--resume").err == ""
        del sys.modules[plugin.stem]
        plugin.write_text("NEW = True")
        resumed = cli(*command, "--resume")
    assert resumed.code == 0
    assert resumed.err == (
        f"trm: warning: plug-in {plugin.stem}: the run was begun with other code of it; it goes on "
        "with this\n"
    )


def test_verbose_says_each_decision_in_a_line(cli: Any, config: Config, tmp_path: Path) -> None:
    path = config()
    said = cli("train", path, "--out", tmp_path / "a", "-v").err
    keys = "device precision threads compile kernel cuda_graphs budget eval_share"
    for key in keys.split():
        assert len(re.findall(rf"^trm: train\.{key}: .+ \(.+\)$", said, re.MULTILINE)) == 1
    assert "train.kernel" not in cli("train", path, "--out", tmp_path / "b").err
