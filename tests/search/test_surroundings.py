"""The command line where a user, a folder or a terminal lacks what is usual."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import Tiny

FINISHED = str(Path(__file__).parents[1] / "data" / "run_v1" / "finished")
COMMANDS = """
import json, sys
from search.cli import main
print(json.dumps([main(words) for words in json.loads(sys.argv[1])]))
"""
NOBODY = """
import pwd

def getpwuid(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")

pwd.getpwuid = getpwuid
"""
GONE = """
import os
os.mkdir("gone")
os.chdir("gone")
os.rmdir(os.getcwd())
"""
HOMES = ("HOME", "TRM_CACHE", "XDG_CACHE_HOME", "USER", "LOGNAME", "LNAME", "USERNAME")


def commands(
    folder: Path,
    lines: Sequence[Sequence[str]],
    before: str = "",
    without: Sequence[str] = (),
    **environment: str,
) -> tuple[list[int], subprocess.CompletedProcess[bytes]]:
    """The exit codes of command lines in a process of their own, and what it said."""
    kept = {key: value for key, value in os.environ.items() if key not in without}
    done = subprocess.run(
        [sys.executable, "-c", before + COMMANDS, json.dumps(lines)],
        capture_output=True, timeout=300, cwd=folder, env={**kept, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    assert b"Traceback" not in done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done


@pytest.mark.slow
def test_a_user_without_home_and_name(tmp_path: Path, tiny: Tiny) -> None:
    (tmp_path / "c.yaml").write_text(json.dumps(tiny()))
    (tmp_path / "scratch").mkdir()
    lines = [
        ["train", "c.yaml", "--out", "t"],
        ["eval", "t"],
        ["tasks", "c.yaml"],
        ["status", FINISHED],
        ["export", FINISHED],
    ]
    codes, done = commands(tmp_path, lines, NOBODY, HOMES, TMPDIR=str(tmp_path / "scratch"))
    assert codes == [0] * len(lines), done.stderr
    assert done.stderr == b""
    assert len([*(tmp_path / "scratch").rglob("*.npz")]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("home", [None, "/", "/nonexistent", "/proc/self"])
def test_a_sweep_of_a_user_without_home(tmp_path: Path, tiny: Tiny, home: str | None) -> None:
    lr = {"loguniform": [1e-3, 1e-2]}
    (tmp_path / "c.yaml").write_text(json.dumps(tiny({"optimizer.lr": lr, "search.trials": 2})))
    words = ["sweep", "c.yaml", "--parallel", "1", "--out", "r"]
    for setting in ("candidates=1", "seeds=1", "promise_seeds=2"):
        words += ["--set", f"stability.{setting}"]
    given = {} if home is None else {"HOME": home}
    codes, done = commands(tmp_path, [words], NOBODY, HOMES, **given)
    assert codes == [0], done.stderr
    assert (tmp_path / "r" / "best.yaml").is_file()


def test_a_working_directory_that_is_gone(tmp_path: Path, tiny: Tiny) -> None:
    (tmp_path / "c.yaml").write_text(json.dumps(tiny()))
    config, out = str(tmp_path / "c.yaml"), str(tmp_path / "t")
    good = [
        ["status", FINISHED],
        ["train", config, "--out", out],
        ["tasks", "arrows4"],
    ]
    bad = [
        ["train", config],
        ["train", config, "--out", "x"],
        ["train", "c.yaml"],
        ["export", FINISHED, "--out", "x.yaml"],
        ["status", "run"],
        ["eval", "t"],
        ["sweep", config, "--set", "optimizer.lr={loguniform: [1e-3, 1e-2]}", "--out", "s"],
    ]
    codes, done = commands(tmp_path, [*good, *bad], GONE)
    assert codes == [0] * len(good) + [2] * len(bad), done.stderr
    said = done.stderr.decode().splitlines()
    assert len(said) == len(bad)
    assert all("begins at a working directory that is gone: go to another (cd)" in s for s in said)


ASCII = [
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
]


@pytest.mark.slow
@pytest.mark.parametrize("terminal", ASCII, ids=["output", "locale"])
def test_a_terminal_that_knows_ascii_alone(
    tmp_path: Path, tiny: Tiny, terminal: dict[str, str]
) -> None:
    tree = json.dumps(tiny({"name": "größer→"}), ensure_ascii=False)
    (tmp_path / "c.yaml").write_text(tree, encoding="utf-8")
    lines = [
        ["train", "c.yaml", "--out", "t"],
        ["solve", "t", "valid:0"],
        ["tasks", "c.yaml"],
        ["curriculum", "c.yaml"],
        ["status", FINISHED],
        ["guide", "statistics"],
    ]
    codes, done = commands(tmp_path, lines, **terminal)
    assert codes == [0] * len(lines), done.stderr
    assert done.stdout.isascii()
    assert b"[r]" in done.stdout or b"[u]" in done.stdout or b"[l]" in done.stdout
    assert "größer→" in (tmp_path / "t" / "config.yaml").read_text(encoding="utf-8")


def test_arrows_on_a_terminal_that_knows_ascii_alone_are_letters(
    tmp_path: Path, tiny: Tiny
) -> None:
    (tmp_path / "c.yaml").write_text(json.dumps(tiny()))
    codes, done = commands(tmp_path, [["tasks", "c.yaml"]], PYTHONIOENCODING="ascii")
    assert codes == [0], done.stderr
    assert done.stdout.isascii()
    assert re.search(rb"\[[urdl]\]", done.stdout)


@pytest.mark.slow
def test_what_is_exported_through_an_ascii_pipe_is_whole(tmp_path: Path) -> None:
    run = tmp_path / "ünï"
    run.symlink_to(FINISHED)
    words = ["export", str(run), "--format", "card", "--out"]
    commands(tmp_path, [[*words, "card.md"]])
    shown, done = commands(tmp_path, [words[:-1]], PYTHONIOENCODING="ascii")
    assert shown == [0]
    whole = (tmp_path / "card.md").read_bytes()
    assert done.stdout.startswith(whole)
