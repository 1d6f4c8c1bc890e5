"""What another tool's search tells of its trials, whatever its files look like."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trm.errors import UserError

State = Literal["completed", "pruned", "crashed", "stopped"]


@dataclass(frozen=True)
class ForeignTrial:
    """One trial of another tool.

    Attributes:
        name: what that tool calls it.
        params: its values, by their names there; what is nested is joined by dots.
        state: how it ended, in our words.
        score: the value that it was judged by; None where there is none.
        curve: (step, value) on the way, in order of steps.
        seconds: that it took; 0 if that is unknown.
    """

    name: str
    params: Mapping[str, Any]
    state: State
    score: float | None = None
    curve: tuple[tuple[float, float], ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class ForeignRun:
    """A search of another tool.

    Attributes:
        source: where it was read from, in words.
        trials: those that have ended.
        unfinished: how many have not, and are left out.
        maximizes: whether more of the score is better there; None if it does not say.
    """

    source: str
    trials: list[ForeignTrial] = field(default_factory=list)
    unfinished: int = 0
    maximizes: bool | None = None


def read_foreign(
    source: Path, column: str, *, study: str | None = None, metric: str | None = None
) -> ForeignRun:
    """Read another tool's history, of whichever kind it is; nothing in it is executed.

    Args:
        column: of our reports, by which a config is judged.
        study: of an Optuna file that holds several.
        metric: what the column is called there; None is its own name. An Optuna study has values
            without names.

    Raises:
        UserError: none of these, damaged, or without such a metric.
    """
    if source.is_dir():
        from search.explore.imported.ray_results import read_results

        return read_results(source, metric or column)
    try:
        with source.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise UserError(f"{source}: cannot be read: {error.strerror}: check the path") from error
    if head.startswith(b"SQLite format 3") or re.match(rb'\s*\{"op_code"', head):
        from search.explore.imported.optuna_study import read_study

        return read_study(source, study, sqlite=head.startswith(b"SQLite"))
    if source.suffix.lower() == ".csv":
        from search.explore.imported.wandb_table import read_table

        return read_table(source, metric or column)
    raise UserError(
        f"{source}: is neither an Optuna study (journal or SQLite), a CSV of W&B, nor a folder of "
        "Ray Tune's results: give one of these"
    )


def flat(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """The values of a nested mapping by their dotted paths.

    >>> flat({"optimizer": {"lr": 0.1}, "depth/H": 2})
    {'optimizer.lr': 0.1, 'depth.H': 2}
    """
    found: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{path}{key}".replace("/", ".")
        if isinstance(value, Mapping):
            found |= flat(value, f"{name}.")
        else:
            found[name] = value
    return found


def number(value: Any) -> float | None:
    """A finite number, also one that a file holds as text; else None."""
    if isinstance(value, bool):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None
