"""What a detector is: a function from the reports of a run to a finding, and its settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from curricula.component import Component
from trm.report import COLUMNS, ReportRow

C = TypeVar("C", bound=Component)
Severity = Literal["failure", "warning"]


@dataclass(frozen=True)
class Finding:
    """A failure, or what may become one.

    Attributes:
        detector: its name in `DETECTORS`.
        severity: `failure` spoils the run; `warning` may.
        at: share of the compute budget at which it was first seen.
        value: what was measured.
        threshold: what it was held against.
        unit: of both.
        words: one line: what happened, and what the evidence suggests to try.

    >>> Finding("slow", "warning", 0.5, 3.0, 2.0, "seconds", "a step takes 3 s: buy a GPU").at
    0.5
    """

    detector: str
    severity: Severity
    at: float
    value: float
    threshold: float
    unit: str
    words: str


@dataclass(frozen=True)
class Detector(Generic[C]):
    """What a detector looks for.

    Attributes:
        find: the first finding in rows by mark, or None. A column of a row may be missing or null.
        config: its keys: of the `diagnostics` section for ours, of the section `diagnostics.NAME`
            for a plug-in's.
        definition: what counts as the failure.
        unit: of the value and the threshold.
        columns: what it reads beside `EVIDENCE`.
        sees_divergence: whether it is shown reports of a run that is not finite any more.

    Raises:
        ValueError: one of `columns` is in no report.

    >>> class SlowConfig(Component):
    ...     limit: float | None = 1000.0
    >>> def slow(rows, config):
    ...     for row in rows:
    ...         if config.limit is not None and row.get("seconds", 0.0) > config.limit:
    ...             words = "training takes long: buy a GPU"
    ...             return Finding("slow", "warning", row["progress"], row["seconds"], config.limit,
    ...                            "seconds", words)
    >>> slow_detector = Detector(slow, SlowConfig, "training takes long", "seconds", ("seconds",))
    >>> slow_detector.find([{"progress": 0.5, "seconds": 1500.0}], SlowConfig()).value
    1500.0
    """

    find: Callable[[Sequence[ReportRow], C], Finding | None]
    config: type[C]
    definition: str
    unit: str
    columns: tuple[str, ...] = ()
    sees_divergence: bool = False

    def __post_init__(self) -> None:
        if unknown := [column for column in self.columns if column not in COLUMNS]:
            raise ValueError(f"a detector reads {', '.join(unknown)}, which no report has")
