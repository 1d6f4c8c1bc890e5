"""What a sensitivity design showed, as `sensitivity.json` in the run folder holds it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from search.ledger.files import fields_of, read_json, require_unlost, write_json
from search.ledger.storage import Place
from search.stability.response import Response
from search.stability.sensitivity_design import (
    POINTS,
    Design,
)
from search.stats.sobol import Index

SENSITIVITY_FILE = "sensitivity.json"
SENSITIVITY_VERSION = 1


@dataclass(frozen=True)
class Sensitivity:
    """What was found of one design.

    Attributes:
        winner: the explore trial around whose config it is.
        design: `oat` or `sobol`.
        objective: the column that scores are.
        maximizes: whether more of it is better.
        confidence: of tests and intervals.
        seeds: runs of each point.
        radius: as in the request.
        margin: what a mean may lose and be safe; None in the Sobol design.
        sd: standard deviation between seeds, pooled; 0 if no point has two.
        failures: share of all runs that failed.
        responses: one a parameter, of one at a time.
        score: by parameter, Sobol's indices of the mean score.
        failure: likewise of the share of failed runs; empty if none failed.
        rows: of the Sobol design that count; those with a config that no model can be built from
            do not.
    """

    winner: int
    design: Design
    objective: str
    maximizes: bool
    confidence: float
    seeds: int
    radius: float
    margin: float | None
    sd: float
    failures: float
    responses: list[Response]
    score: dict[str, Index]
    failure: dict[str, Index]
    rows: int


def read_sensitivity(folder: Place) -> dict[str, Any]:
    """What `sensitivity.json` holds, by design, as plain values; empty while there is none.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / SENSITIVITY_FILE
    if not path.is_file():
        require_unlost(path)
        return {}
    tree = read_json(path, own=True)
    found: dict[str, Any] = {
        design: tree[design] for design in POINTS if tree.get(design) is not None
    }
    with fields_of(path):
        for values in found.values():
            Sensitivity(**values)
    return found


def save_sensitivity(folder: Place, found: Sensitivity) -> None:
    """Put a design's result beside that of the other."""
    tree = {"schema_version": SENSITIVITY_VERSION, **read_sensitivity(folder)}
    tree[found.design] = asdict(found)
    write_json(folder / SENSITIVITY_FILE, tree, own=True)
