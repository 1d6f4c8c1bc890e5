"""What trials are judged by: report columns with a direction, bounds and a floor for failures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from curricula.component import Component, nearest, shown
from search.stats.spreads import NO_SPREAD, resolution_sd
from search.stats.student import t_quantile
from trm.report import COLUMNS, Column

Direction = Literal["maximize", "minimize"]
Aggregate = Literal["mean", "lower", "worst"]


class Objective(Component):
    """A report column to maximise or minimise; a trial's value is that of its last report.

    Attributes:
        column: any column of the reports.
        direction: null is the column's own: accuracies are maximised, losses and costs minimised;
            another column needs it.
        floor: what a failed trial scores. null is the task's floor for exact accuracy, else 0 for
            a share that is maximised and 1 for one that is minimised. A column without such an
            end needs it to be the first objective. It must be a value that the column can have.
    """

    column: str
    direction: Direction | None = None
    floor: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _known(self) -> Objective:
        require_column(self.column)
        if self.direction is None and self.about.better is None:
            raise ValueError(
                f"{self.column} has no better end of its own: say direction: maximize or minimize"
            )
        low, high = self.bounds
        if self.floor is not None and not low <= self.floor <= high:
            ends = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"
            raise ValueError(
                f"floor {self.floor:g}: {self.column} has values {ends}: give one of those"
            )
        return self

    @property
    def about(self) -> Column:
        """What is known of the column."""
        return COLUMNS[self.column]

    @property
    def maximizes(self) -> bool:
        """Whether more is better."""
        if self.direction is None:
            return self.about.better == "more"
        return self.direction == "maximize"

    @property
    def resolved_direction(self) -> Direction:
        """The direction with its default filled in."""
        return "maximize" if self.maximizes else "minimize"

    @property
    def is_share(self) -> bool:
        """Whether a value is a share of the evaluated examples."""
        return self.about.is_share

    def counted(self, evaluated: int | None, probed: int, thought: int | None = None) -> int | None:
        """How many examples a value is a share of; None where it is none, or that is unknown.

        Args:
            evaluated: examples of an evaluation.
            probed: examples of a probe, the first of those that are evaluated.
            thought: examples of deeper and wider evaluations, some of those; None: all of them.
        """
        if not self.is_share:
            return None
        some = probed if self.about.probed else thought if self.about.asked else None
        known = [count for count in (some, evaluated) if count is not None]
        return min(known, default=None)

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value that the column can have."""
        return self.about.low, self.about.high

    def value(self, row: Mapping[str, Any]) -> float:
        """The objective of a report; nan where the report does not have the column."""
        value = row.get(self.column)
        return math.nan if value is None else float(value)

    def merit(self, value: float) -> float:
        """The value turned so that more is better; its own inverse."""
        return value if self.maximizes else -value

    def worst(self, task_floor: float) -> float:
        """The value of a failure: `floor` with its default filled in.

        Where the column has no worst end, 0: the failure then counts as a violated constraint.
        """
        if self.floor is not None:
            return self.floor
        if self.column == "exact_accuracy" and self.maximizes:
            return task_floor
        low, high = self.bounds
        end = low if self.maximizes else high
        return end if math.isfinite(end) else 0.0

    def text(self) -> str:
        """The objective in words; the direction only where it is not the column's own.

        >>> Objective(column="mean_steps").text()
        'mean_steps'
        >>> Objective(column="step", direction="maximize").text()
        'step (maximized)'
        """
        if self.about.better == ("more" if self.maximizes else "less"):
            return self.column
        return f"{self.column} ({self.resolved_direction}d)"


def parse_objectives(value: Any) -> Any:
    """A column's name, a mapping or a list of both as a list of mappings, for the schema."""
    entries = list(value) if isinstance(value, (list, tuple)) else [value]
    return [{"column": entry} if isinstance(entry, str) else entry for entry in entries]


def check_objectives(objectives: Sequence[Objective]) -> None:
    """
    Raises:
        ValueError: none, the same column twice, or a first one without a floor.
    """
    if not objectives:
        raise ValueError("give at least one column, such as exact_accuracy")
    columns = [objective.column for objective in objectives]
    for column in columns:
        if columns.count(column) > 1:
            raise ValueError(f"{column} stands there {columns.count(column)} times: name it once")
    first = objectives[0]
    low, high = first.bounds
    if first.floor is None and not math.isfinite(low if first.maximizes else high):
        raise ValueError(
            f"{first.column} has no worst value that a failed trial could score: give it a floor, "
            f"as in {{column: {first.column}, floor: 100}}, or put a share such as exact_accuracy "
            "first"
        )


def require_column(name: str) -> None:
    """
    Raises:
        ValueError: the reports have no such column of numbers.
    """
    if name not in COLUMNS or COLUMNS[name].kind == "bool":
        numbers = [column for column, about in COLUMNS.items() if about.kind != "bool"]
        raise ValueError(f"{shown(name)} is no column of the reports: {nearest(name, numbers)}")


def aggregate(
    values: Sequence[float],
    objective: Objective,
    how: Aggregate,
    confidence: float = 0.9,
    examples: int | None = None,
) -> float:
    """One value for a config's seeds, failures among them at their floor.

    Args:
        how: `mean`; `worst`, the worst seed; `lower`, the one-sided confidence bound of the mean on
            the bad side, mean - t(confidence, n - 1) s / sqrt(n) for what is maximised (Hahn &
            Meeker, "Statistical Intervals", 4.2), inside the column's bounds. A single seed is its
            own bound.
        examples: how many examples a share is a share of: s is then at least `resolution_sd`.
    """
    merits = [objective.merit(value) for value in values]
    n, mean = len(merits), math.fsum(merits) / len(merits)
    if how == "worst":
        return objective.merit(min(merits))
    if how == "mean" or n == 1:
        return objective.merit(mean)
    sd = math.sqrt(math.fsum((merit - mean) ** 2 for merit in merits) / (n - 1))
    if objective.is_share and examples is not None:
        sd = max(sd, resolution_sd(abs(mean), examples))
    margin = t_quantile(confidence, n - 1) * sd / math.sqrt(n) if sd > NO_SPREAD else 0.0
    low, high = objective.bounds
    return min(max(objective.merit(mean - margin), low), high)
