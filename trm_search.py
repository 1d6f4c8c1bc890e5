"""The command `trm`, begun so that no module of the user's takes the place of ours.

Python looks into the folders of PYTHONPATH before it looks among what is installed, and `search`
and `cluster` are names that people give to files of their own.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

OURS = ("cluster", "curricula", "search", "trm")


def main() -> int:
    """Run the command that the process was started for; returns its exit code."""
    path = sys.path[:]
    sys.path.insert(0, str(Path(__file__).parent))
    for name in OURS:
        import_module(name)
    sys.path[:] = path
    command: int = import_module("search.cli").main()
    return command
