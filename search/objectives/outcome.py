"""How a trial may end, and which ends are failures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Outcome = Literal[
    "completed", "pruned", "diverged", "collapsed", "oom", "crashed", "infeasible", "stopped"
]


def failed(row: Mapping[str, Any]) -> bool:
    """Whether training ended at this report as a failure; older versions knew no collapse."""
    return bool(row["diverged"] or row.get("collapsed"))


FAILURES = ("diverged", "collapsed", "oom", "crashed")
OUTCOMES = ("completed", "pruned", *FAILURES, "infeasible", "stopped")
