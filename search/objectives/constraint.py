"""Conditions that a config must meet to win, as `mean_steps <= 6`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from curricula.component import Component, shown
from search.objectives.objective import require_column

_FORM = re.compile(r"\s*(\w+)\s*(<=|>=|<|>|==|=)\s*(\S+)\s*")


class Constraint(Component):
    """A report column with a bound that its last value must keep.

    Attributes:
        column: any column of the reports.
        relation: on which side of the bound the value must be.
        bound: the bound.

    >>> Constraint.model_validate(parse_constraint("parameters <= 1e6")).text()
    'parameters <= 1e+06'
    """

    column: str
    relation: Literal["<=", ">="]
    bound: float = Field(allow_inf_nan=False)

    @model_validator(mode="after")
    def _known(self) -> Constraint:
        require_column(self.column)
        return self

    def violation(self, value: float) -> float:
        """How far a value is on the wrong side, as a share of the bound; 0 or less is fine.

        A share, so that the violations of several constraints add up to something. A bound of 0 is
        measured in the column's own unit.
        """
        if math.isnan(value):
            return math.inf
        over = value - self.bound if self.relation == "<=" else self.bound - value
        return over / (abs(self.bound) or 1.0)

    def text(self) -> str:
        """The constraint as it is written in a file."""
        return f"{self.column} {self.relation} {self.bound:g}"


def parse_constraint(value: Any) -> Any:
    """`column <= number` as a mapping, for the schema; anything else is left to it.

    Raises:
        ValueError: text that is no such condition.
    """
    if not isinstance(value, str):
        return value
    found = _FORM.fullmatch(value)
    if found is None:
        raise ValueError(
            f"{shown(value)} must be a column, <= or >=, and a number, as in 'mean_steps <= 6'"
        )
    column, relation, number = found.groups()
    if relation not in ("<=", ">="):
        raise ValueError(f"{shown(value)}: {relation} is not supported: use <= or >=")
    try:
        bound = float(number)
    except ValueError:
        raise ValueError(f"{shown(value)}: {shown(number)} must be a number") from None
    return {"column": column, "relation": relation, "bound": bound}


def violations(
    constraints: Sequence[Constraint], rows: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """By constraint, the violation of a config's mean over the last reports of its seeds."""
    return {
        constraint.text(): constraint.violation(
            math.fsum(_value(row, constraint.column) for row in rows) / len(rows)
        )
        for constraint in constraints
    }


def _value(row: Mapping[str, Any], column: str) -> float:
    # A report without the column keeps no bound on it.
    value = row.get(column)
    return math.nan if value is None else float(value)
