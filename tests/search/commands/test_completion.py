"""What the shells complete, asked of the shells; one that is not installed is skipped."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from search.cli import COMMANDS, main
from search.commands import parser_of
from search.commands.completion import SHELLS, script
from search.commands.see_also import SEE_ALSO
from search.guide.pages import TOPICS

ASKED = {
    "trm swe": {"sweep"},
    "trm help sta": {"stability", "status"},
    "trm sweep arrows4-": {"arrows4-ablations", "arrows4-curricula", "arrows4-population"},
    "trm sweep --re": {"--resume", "--retry"},
    "trm export runs/mine --format r": {"reference", "reference-weights"},
    "trm guide first": {"first-sweep"},
    "trm cluster kube": {"kuberay"},
    "trm train x --set train.budget.": {
        "train.budget.flops=", "train.budget.minutes=", "train.budget.steps=",
    },
}  # fmt: skip

BASH = """
source {script}
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_trm 2>/dev/null
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
# What zsh's own functions would show: all that was offered, of which it shows what fits.
ZSH = """
_describe() {{ local name=${{@[-1]}}; print -rl -- "${{(@P)name%%:*}}" }}
_files() {{ }}
compadd() {{
  local end=
  [[ $1 == -S ]] && {{ end=$2; shift 2 }}
  if [[ $1 == -a ]]; then print -rl -- "${{(@P)2}}"; else shift; print -rl -- "${{@/%/$end}}"; fi
}}
compdef() {{ }}
source {script}
words=({words}) CURRENT=${{#words}}
_trm
"""


def offered(shell: str, line: str, folder: Path) -> set[str]:
    """What a shell has for the last word of a line."""
    path = folder / f"trm.{shell}"
    path.write_text(script(shell))
    words = " ".join(f"'{word}'" for word in line.split(" "))
    if shell == "fish":
        program = f"source {path}; complete -C '{line}'"
    else:
        program = (BASH if shell == "bash" else ZSH).format(script=path, words=words)
    clean = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    done = subprocess.run(
        [shell, *clean, "-c", program], capture_output=True, text=True, timeout=60, cwd=folder
    )
    assert done.stderr == "", done.stderr
    found = {one.split("\t")[0] for one in done.stdout.splitlines()}
    return {one for one in found if one.startswith(line.rpartition(" ")[2])}


@pytest.mark.parametrize("line", ASKED)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes(shell: str, line: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    assert offered(shell, line, tmp_path) == ASKED[line]


def test_every_command_and_option_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in SHELLS:
        assert main(["--completion", shell]) == 0
        text = capsys.readouterr().out
        for command in COMMANDS:
            assert re.search(rf"\b{command}\b", text), command
            for action in parser_of(command)._actions:
                for name in action.option_strings:
                    assert name in text or f"-l {name[2:]}" in text, (command, name)


@pytest.mark.parametrize("words", [[], ["tcsh"], ["bash", "zsh"]])
def test_another_shell_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--completion", *words]) == 2
    assert "must be one of bash, zsh, fish" in capsys.readouterr().err


def test_help_of_a_command_is_what_it_says_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["sweep"], ["cluster", "slurm"]):
        assert main([*words, "--help"]) == 0
        own = capsys.readouterr().out
        assert main(["help", *words]) == 0
        assert capsys.readouterr().out == own
    assert main(["help"]) == 0
    assert capsys.readouterr().out.startswith("usage: trm COMMAND")
    assert main(["help", "spaces"]) == 0
    assert capsys.readouterr().out.startswith("# Spaces")
    assert main(["help", "sweeep"]) == 2
    assert "did you mean sweep" in capsys.readouterr().err


def test_every_help_sends_on_to_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(SEE_ALSO) == set(COMMANDS)
    for command, (others, pages) in SEE_ALSO.items():
        assert set(others) <= set(COMMANDS) - {command}
        assert set(pages) <= set(TOPICS)
        assert main([command, "--help"]) == 0
        assert "\nsee also: trm " in capsys.readouterr().out
