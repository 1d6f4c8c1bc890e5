"""What a detector says, and how detectors read the reports of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trm.thresholds import DiagnosticsConfig

ReportRow = Mapping[str, Any]
"""A report's columns; any may be missing."""

Severity = Literal["failure", "warning"]

_EXAMPLES = 500
"""Evaluated examples where a row does not say how many."""


@dataclass(frozen=True)
class Finding:
    """A failure, or what may become one.

    Attributes:
        detector: its name in `REGISTRY`.
        severity: `failure` spoils the run; `warning` may.
        at: share of the compute budget at which it was first seen.
        value: what was measured.
        threshold: what it was held against.
        unit: of both.
        words: one line: what happened, and what the evidence suggests to try.
    """

    detector: str
    severity: Severity
    at: float
    value: float
    threshold: float
    unit: str
    words: str


@dataclass(frozen=True)
class Detector:
    """What a detector looks for.

    Attributes:
        find: the first finding in rows by mark, or None.
        definition: what counts as the failure.
        unit: of the value and the threshold.
        keys: keys of the `diagnostics` section that change it, the one that null turns off first;
            none for what cannot be turned off.
    """

    find: Callable[[Sequence[ReportRow], DiagnosticsConfig], Finding | None]
    definition: str
    unit: str
    keys: tuple[str, ...]


def noise(a: float, b: float, examples: float, deviations: float = 2.0) -> float:
    """How far two shares of `examples` may differ by chance: standard deviations of the difference.

    Binomial, the two taken as independent; a share of 0 or 1 counts as half an example off it.
    """
    least = 0.5 / examples
    a, b = (min(max(share, least), 1.0 - least) for share in (a, b))
    return deviations * math.sqrt((a * (1.0 - a) + b * (1.0 - b)) / examples)


def number(row: ReportRow, column: str) -> float | None:
    """A column of a report; None where it is missing or not finite."""
    value = row.get(column)
    return None if value is None or not math.isfinite(value) else float(value)


def examples_of(row: ReportRow) -> float:
    """How many puzzles a report was evaluated on."""
    return row.get("evaluated") or _EXAMPLES


def probed_examples(row: ReportRow, config: DiagnosticsConfig) -> float:
    """How many puzzles a report was probed on."""
    # A probe is of the first of those that are evaluated.
    return min(config.examples, examples_of(row))


def when(row: ReportRow) -> float:
    """The share of the compute budget at which a report was made."""
    return float(row.get("progress") or 0.0)


def latest(rows: Sequence[ReportRow], column: str) -> tuple[float, ReportRow] | None:
    """The last finite value of a column, and its report."""
    for row in reversed(rows):
        value = number(row, column)
        if value is not None:
            return value, row
    return None
