"""A program and its environment on a machine that has neither, as shell commands."""

from __future__ import annotations

import platform

from cluster.launch.errors import LaunchError
from cluster.launch.job import LaunchJob
from cluster.launch.words import command, quoted

PYTHON = "$HOME/trm-env/bin/python"
CODE = "~/trm-code"
"""Where the program's packages are copied to."""
CONFIG = "trm-sweep.yaml"
"""The config's name in the home folder."""


def python_of(chosen: str | None) -> str:
    """The Python of the machines, for a shell: the one given, or that of the commands below."""
    return quoted(chosen) if chosen else f'"{PYTHON}"'


def install(job: LaunchJob, *more: str) -> list[str]:
    """Commands that make an environment with what the program needs, as it is here.

    They can be run again.

    Args:
        more: what else pip is to install.

    Raises:
        LaunchError: nobody knows what it needs.
    """
    if not job.requirements:
        raise LaunchError(
            "cluster.python", None,
            "is missing: this copy of the program is not installed, so what it needs is not known",
        )  # fmt: skip
    version = ".".join(platform.python_version_tuple()[:2])
    return [
        "command -v uv >/dev/null || curl -LsSf https://astral.sh/uv/install.sh | sh",
        'export PATH="$HOME/.local/bin:$PATH"',
        f'uv venv --quiet --allow-existing --python {version} "$HOME/trm-env"',
        f'uv pip install --quiet --python "{PYTHON}" {command(*job.requirements, *more)}',
    ]


def find_code(python: str) -> str:
    """A command by which a Python finds the packages that were copied.

    Args:
        python: quoted for a shell.
    """
    place = 'import sysconfig; print(sysconfig.get_path("purelib"))'
    return f'echo "$HOME/trm-code" > "$({python} -c {quoted(place)})/trm-code.pth"'


def write_config(job: LaunchJob) -> str:
    """A command that writes the job's file into the home folder."""
    return f"printf '%s' {quoted(job.text)} > \"$HOME/{CONFIG}\""


def start(job: LaunchJob, python: str, address: str) -> str:
    """A command that runs the program.

    Args:
        python: of the machine, quoted for a shell.
    """
    words = job.words("CONFIG", address)
    place = words.index("CONFIG")
    return " ".join(
        [python, command(*words[:place]), f'"$HOME/{CONFIG}"', command(*words[place + 1 :])]
    )


def copied_packages(job: LaunchJob) -> dict[str, str]:
    """Folders to copy, from where they go to on a machine to where they are here.

    Raises:
        LaunchError: a folder's name would have to be escaped.
    """
    for folder in job.packages.values():
        if any(ord(letter) < 32 for letter in str(folder)):
            raise LaunchError("the code", str(folder), "lies where no copy can be made: move it")
    return {f"{CODE}/{name}": str(folder) for name, folder in job.packages.items()}
