"""Every path that a command takes, with what no file can be called: one line, exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from search.cli import main
from tests.support.permissions import bound

PATHS: dict[str, Sequence[str]] = {
    "train CONFIG": ["train", "@"],
    "train --out": ["train", "sudoku4", "--out", "@"],
    "train --resume": ["train", "sudoku4", "--resume", "--out", "@"],
    "a puzzle file": ["train", "sudoku4", "--set", 'task={name: sudoku, file: "@"}'],
    "eval CHECKPOINT": ["eval", "@"],
    "eval --data": ["eval", ".", "--data", "@"],
    "solve CHECKPOINT": ["solve", "@", "valid:0"],
    "tasks CONFIG": ["tasks", "@"],
    "tasks --write": ["tasks", "sudoku4", "--write", "@"],
    "curriculum CONFIG": ["curriculum", "@"],
    "curriculum --out": ["curriculum", "sudoku4", "--out", "@"],
    "export RUN": ["export", "@"],
    "export --out": ["export", "run", "--out", "@"],
    "export --front": ["export", "run", "--front", "@"],
    "sweep CONFIG": ["sweep", "@", "--dry-run"],
    "sweep --out": ["sweep", "sudoku4", "--out", "@"],
    "sweep --resume": ["sweep", "sudoku4", "--resume", "--out", "@"],
    "sweep --warm-start": ["sweep", "sudoku4", "--dry-run", "--warm-start", "@"],
    "ablate --out": ["ablate", "arrows4-ablations", "--out", "@"],
    "stability RUN": ["stability", "@"],
    "sensitivity RUN": ["sensitivity", "@", "--dry-run"],
    "simulate RUN": ["simulate", "@"],
    "simulate --save": ["simulate", "run", "--save", "@"],
    "status RUN": ["status", "@"],
    "report RUN": ["report", "@"],
    "report --out": ["report", "run", "--out", "@"],
    "report --images": ["report", "run", "--images", "@"],
    "report --live": ["report", "@", "--live"],
    "report --dashboard": ["report", "@", "--dashboard"],
    "importance RUN": ["importance", "@"],
    "fidelity RUN": ["fidelity", "@"],
    "diagnose RUN": ["diagnose", "@"],
    "compare RUN": ["compare", "run", "@"],
    "guide --write": ["guide", "--write", "@"],
}
IN_A_SHUT_FOLDER = (
    "train CONFIG", "train --out", "eval CHECKPOINT", "tasks --write", "export --out", "status RUN",
)  # fmt: skip
BAD = {
    "empty": "",
    "long": "x" * 300,
    "deep": "/".join(["y" * 200] * 30),
    "loop": "loop/x",
    "no UTF-8": "a\udcffb",
    "nobody's home": "~no-such-user/x",
}

LOCKED = """
import json, sys
from search.cli import main
print(json.dumps([main(words) for words in json.loads(sys.argv[1])]))
"""


@pytest.mark.parametrize("words", PATHS.values(), ids=PATHS.keys())
def test_what_no_path_can_be_is_refused(
    words: Sequence[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "run").mkdir()
    for kind, path in BAD.items():
        assert main([word.replace("@", path) for word in words]) == 2, kind
        said = capsys.readouterr().err
        assert said.startswith("trm: error: "), kind
        assert said.count("\n") == 1, kind
        assert len(said) < 400, kind
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop", "run"]


def test_a_tilde_that_the_shell_left_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    (tmp_path / "me").mkdir()
    assert main(["guide", "--write=~/pages"]) == 0
    assert (tmp_path / "me" / "pages" / "spaces.md").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["me"]


def test_what_may_not_be_read_or_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0)
    (tmp_path / "kept").mkdir(mode=0o555)
    (tmp_path / "secret").touch(mode=0)
    (tmp_path / "run").mkdir()
    for name in ("sweep.yaml", "run.json"):
        (tmp_path / "run" / name).touch(mode=0)
    lines = [
        *([word.replace("@", "shut/x") for word in PATHS[one]] for one in IN_A_SHUT_FOLDER),
        ["train", "secret"],
        ["train", "sudoku4", "--out", "kept/x"],
        ["train", "sudoku4", "--set", "task={name: sudoku, file: secret}", "--out", "x"],
        ["tasks", "sudoku4", "--write", "kept/x"],
        ["guide", "--write", "kept/x"],
        ["simulate", "secret"],
        ["status", "run"],
        ["export", "run"],
        ["diagnose", "run"],
    ]
    command = bound([sys.executable, "-c", LOCKED, json.dumps(lines)])
    if command is None:
        pytest.skip("root, and no setpriv")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    (tmp_path / "shut").chmod(0o700)
    assert done.returncode == 0, done.stderr
    codes = json.loads(done.stdout.splitlines()[-1])
    wrong = [line for line, code in zip(lines, codes, strict=True) if code != 2]
    assert wrong == []
    assert "Traceback" not in done.stderr
    assert done.stderr.count("trm: error: ") == len(lines) == done.stderr.count("\n")
