"""A job and machines for launch files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cluster.launch.job import LaunchJob
from cluster.launch.settings import Machines
from trm.validation import validate

HOSTILE = (
    "$(touch PWNED)", "`touch PWNED`", "'; touch PWNED; '", '"; touch PWNED; "', "a\nb: c",
    "x # y", "{{name}}", "${HOME}", "&& touch PWNED", "- a", "é\t'\"\\", "\u2028",
)  # fmt: skip
"""What a value must not be able to do."""


def job(out: str = "s3://mine/runs/first", **changes: Any) -> LaunchJob:
    values: dict[str, Any] = {
        "name": "first",
        "program": ("-m", "search.cli", "sweep"),
        "file": "/srv/mine.yaml",
        "text": "name: first\ntask: arrows\n",
        "options": (),
        "out": out,
        "packages": {"trm": Path("/opt/trm")},
        "requirements": ("ray[default,tune]==2.60.0", "torch==2.13.0"),
    }
    return LaunchJob(**{**values, **changes})


def machines(**section: Any) -> Machines:
    return validate(Machines, section, "cluster")
