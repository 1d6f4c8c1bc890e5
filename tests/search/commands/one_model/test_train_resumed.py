"""`trm train`, stopped and gone on with: the run that was not stopped."""

from __future__ import annotations

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

import trm.run.training
from search.cli import main
from tests.support.curves import Config, assert_same_run, curve
from tests.support.plugin_folder import working_in
from trm.errors import NewRunWarning
from trm.training.trainer import Trainer

TRM = Path(sys.executable).with_name("trm")


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
