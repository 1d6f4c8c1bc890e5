from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from search.cli import COMMANDS, GROUPS, main

TRM = Path(sys.executable).with_name("trm")


def run(
    *words: str, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The installed script in a process of its own."""
    return subprocess.run(
        [str(TRM), *words], capture_output=True, text=True, cwd=folder, timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_the_overview_names_every_command(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    for job, commands in GROUPS.items():
        _, block = printed.out.split(f"\n{job}:\n")
        lines = block.split("\n\n")[0].splitlines()
        assert [line.split(None, 1) for line in lines] == [[*each] for each in commands.items()]
    assert "130\ninterrupted" in printed.out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"trm-search {version('trm-search')}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "trm: 'trian' is no command: did you mean train?"),
        (["zzzzz"], f"trm: 'zzzzz' is no command: known: {', '.join(sorted(COMMANDS))}"),
        (["--verison"], "trm: '--verison' does not stand here"),
        (["--json", "train"], "trm: '--json' does not stand here"),
        (["train", "x", "--nosuch"], "trm train: '--nosuch' is no option"),
    ],
)
def test_what_it_does_not_know_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"trm: error: {message}")
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_complete(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: trm {command} ")
    assert f"  trm {command} " in text  # at least one example
    described = text[text.index("\noptions:") :]
    for line in described.splitlines()[2:]:
        if line.startswith("  -"):
            name = line.strip()
            alone = described[described.index(line) + len(line) :].splitlines()
            assert "  " in name or alone[1].startswith("     "), f"{command} {name} has no help"


@pytest.mark.parametrize(("old", "new"), [("study", "ablate"), ("dashboard", "report --dashboard")])
def test_an_old_command_is_the_new_one_and_says_so(old: str, new: str) -> None:
    done = run(old, "--help")
    assert done.returncode == 0
    assert done.stderr == f"trm: `trm {old}` is called `trm {new}` now\n"
    assert done.stdout == run(*new.split(), "--help").stdout


_HELP = """
import contextlib, io, sys
before = set(sys.modules)
from search.cli import COMMANDS, main
ours = {"search", "trm", "curricula", "cluster"}
for words in ([], *([name] for name in COMMANDS)):
    with contextlib.redirect_stdout(io.StringIO()) as help:
        assert main([*words, "--help"]) == 0
    assert help.getvalue().startswith("usage: trm"), words
    loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
    print(*words, "loads:", *sorted(loaded - ours - sys.stdlib_module_names))
"""


def test_help_loads_nothing_but_the_standard_library() -> None:
    found = subprocess.run(
        [sys.executable, "-P", "-c", _HELP], capture_output=True, text=True, timeout=60
    )
    assert found.stderr == ""
    expected = ["loads:", *(f"{command} loads:" for command in COMMANDS)]
    assert [line.strip() for line in found.stdout.splitlines()] == expected


def test_an_interrupted_command_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import search.commands.one_model.tasks

    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(search.commands.one_model.tasks, "run", interrupt)
    assert main(["tasks"]) == 130
    assert capsys.readouterr().err == "trm: interrupted\n"


def test_the_script_in_a_folder_of_the_users_own(tmp_path: Path) -> None:
    for name in ("search.py", "trm.py", "curricula.py", "json.py"):
        (tmp_path / name).write_text("raise RuntimeError('shadowed')")
    (tmp_path / "cluster").mkdir()
    done = run("tasks", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "arrows: " in done.stdout
    done = run("train", "arows4", folder=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("trm: error: arows4: neither a file nor a preset: did you mean ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("path", [".", "{folder}", "/nowhere:{folder}:"])
def test_the_script_beside_modules_of_the_users_own_on_the_path(path: str, tmp_path: Path) -> None:
    for name in ("search.py", "trm.py", "curricula.py"):
        (tmp_path / name).write_text("raise RuntimeError('shadowed')")
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "__init__.py").write_text("raise RuntimeError('shadowed')")
    done = run("--version", folder=tmp_path, PYTHONPATH=path.format(folder=tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_goes_away_is_no_error() -> None:
    process = subprocess.Popen(
        f"{TRM} tasks | head -n 1", shell=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = process.communicate(timeout=120)
    assert out.startswith(b"arrows")
    assert err == b""
