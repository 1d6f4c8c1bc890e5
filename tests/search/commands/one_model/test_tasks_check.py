"""`trm tasks check`: what a file was understood as, and all that is wrong with it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trm.files.yaml12 import dump_yaml


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    path = tmp_path / "sums.csv"
    rows = [f"{k}+1,{k + 1},{k // 5},-" for k in range(200)]
    path.write_text("\n".join(["question,answer,group,note", *rows, rows[7]]))
    return path


def test_it_says_what_was_understood(cli: Any, sums: Path) -> None:
    result = cli("tasks", "check", sums, "--set", "task.align=right", "--show", "2")
    assert (result.code, result.err) == (0, "")
    said = {line.split()[0]: line.split(None, 1)[1] for line in result.out.splitlines()[1:11]}
    assert result.out.startswith("sums.csv: 201 examples\n")
    assert said["columns"] == "inputs, labels, group (not read: note)"
    assert said["vocabulary"] == "11 tokens and padding: 0123456789+"
    assert (
        said["lengths"] == "inputs 3 to 5 (mostly 5), labels 1 to 3 (mostly 3); 5 cells an example"
    )
    assert said["alignment"].startswith("right")
    assert said["splits"].startswith("161 train, 20 valid, 20 test (none given")
    assert said["groups"] == "40, each in one split"
    assert said["duplicates"].startswith("1 rows repeat an input; ")
    assert said["difficulty"].startswith("length of the input: 3 / 4 / 5")
    assert "row 2, difficulty 3\n  input  ··1+1\n  label  ····2\n" in result.out
    assert "row 3," not in result.out
    assert result.out.endswith("\nnothing is wrong\n")


def test_it_names_everything_that_is_wrong(cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    rows: list[Any] = [{"inputs": [k, 1], "labels": [1, k]} for k in range(60)]
    rows[6]["labels"] = []
    rows[9]["inputs"] = None
    rows[30]["inputs"] = [1, 2, 3, 4]
    path.write_text("\n".join(map(json.dumps, rows)))
    result = cli("tasks", "check", path, "--set", "task.grid=[1,2]")
    assert result.code == 2
    wrong = [line for line in result.out.splitlines() if line.startswith("wrong: ")]
    assert [line.split(", ")[1] for line in wrong] == ["row 7", "row 10", "row 31"]
    assert result.out.startswith("bad.jsonl: 58 examples\n")
    assert result.err == f"trm: error: {path}: 3 things are wrong: mend them\n"


def test_what_cannot_be_read_is_one_line(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "there is no such file" in refused("tasks", "check", tmp_path / "no.csv")
    assert "trm tasks check FILE: 0 paths are given" in refused("tasks", "check")
    assert "one path too many" in refused("tasks", "arrows4", "more")
    assert "unknown key" in refused("tasks", "check", tmp_path, "--set", "task.sep=1")


def test_a_config_of_that_name_is_still_a_config(
    cli: Any, sums: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("check").write_text(dump_yaml({"task": {"name": "data", "file": str(sums)}}))
    assert cli("tasks", "./check").out.startswith("data: 1 x 5 cells, 12 tokens, ")


def test_what_is_written_reads_as_it_was(cli: Any, sums: Path, tmp_path: Path) -> None:
    config, again = tmp_path / "a.yaml", tmp_path / "again.csv"
    config.write_text(dump_yaml({"task": {"name": "data", "file": str(sums)}}))
    assert cli("tasks", config, "--split", "train", "--write", again).code == 0
    assert again.read_text().splitlines()[1] == "5+1,6,3"
    assert "row 1, difficulty 3\n  input  5+1··\n  label  6····" in cli("tasks", "check", again).out


def test_check_loads_no_torch(sums: Path) -> None:
    program = (
        "import sys; from search.cli import main\n"
        f"code = main(['tasks', 'check', {str(sums)!r}])\n"
        "print(code, [name for name in ('torch', 'ray', 'pyarrow') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.splitlines()[-1] == "0 []", run


def test_export_writes_the_layout_of_the_reference(
    cli: Any, config: Callable[..., Path], refused: Callable[..., str], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    result = cli("tasks", "export", config(), folder)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("150 train, 40 valid, 30 test examples written to ")
    checked = cli("tasks", "check", folder).out
    assert checked.startswith("out: a folder of the reference: 220 examples\n")
    assert "150 train, 40 valid, 30 test (train, valid, test given)\n" in checked
    assert "is there already" in refused("tasks", "export", config(), folder)
    assert "1 paths are given" in refused("tasks", "export", config())
    assert "is for `trm tasks export`" in refused("tasks", config(), "--copies", "2")


def test_what_is_drawn_of_a_references_folder_is_not_called_given(
    cli: Any, config: Callable[..., Path], tmp_path: Path
) -> None:
    assert cli("tasks", "export", config(), tmp_path / "out").code == 0
    shutil.rmtree(tmp_path / "out/valid")
    checked = cli("tasks", "check", tmp_path / "out", "--show", "1").out.splitlines()
    assert (
        "  splits      135 train, 15 valid, 30 test (train, test given, valid drawn of train, "
        "a puzzle of a group, with seed 0)" in checked
    )
    assert "  cells       arrays of tokens, as they are" in checked
    assert "  levels      180 puzzles in 180 groups; a round takes one of each" in checked
