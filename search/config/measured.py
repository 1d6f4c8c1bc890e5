"""Which deeper and wider evaluations a sweep's judges ask for, and in which reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.config.sections import StabilityConfig, SweepSections
from search.schedulers.scheduler import RungConfig
from trm.diagnostics import DiagnosticsConfig
from trm.errors import UserError
from trm.thought.config import MEASURED, MeasuredColumn, ThoughtConfig

DEEP: MeasuredColumn = "accuracy_x16"
"""What confirm and promise runs are asked for, to say how far a config holds beyond its depth."""
_BEYOND: Mapping[int, MeasuredColumn] = {4: "accuracy_x4"}
_IMPLIED: Mapping[str, MeasuredColumn] = {"depth_drop_x16": "accuracy_x16"}
"""Columns that come with another."""


def judging_columns(sections: SweepSections) -> dict[str, str]:
    """The columns by which trials are judged, each with the key that names it."""
    search = sections.search
    judged = {
        **{one.column: "search.objective" for one in search.objective},
        **{one.column: "search.constraints" for one in search.constraints},
    }
    if isinstance(search.scheduler, RungConfig) and search.scheduler.metric is not None:
        judged.setdefault(search.scheduler.metric, "search.scheduler.metric")
    return judged


def asked_thought(
    sections: SweepSections, thought: ThoughtConfig, diagnostics: DiagnosticsConfig
) -> ThoughtConfig:
    """The `thought` section with all columns by which trials are judged.

    The first objective, and what early stopping goes by, are in every report.

    Raises:
        UserError: trials are judged by `thought_accuracy`, which nothing measures, or which the
            confirm stage would measure at another depth or breadth.
    """
    judged = judging_columns(sections)
    wanted = {_column(name, diagnostics) for name in judged}
    measure = [column for column in MEASURED if column in wanted or column in thought.measure]
    if "thought_accuracy" in judged:
        _require_one_thought(judged["thought_accuracy"], thought, sections.stability)
    early = {sections.search.objective[0].column}
    if isinstance(sections.search.scheduler, RungConfig):
        early.add(sections.search.scheduler.metric or "")
    always = any(_column(name, diagnostics) in (*MEASURED, "thought_accuracy") for name in early)
    values: dict[str, Any] = {"measure": measure, "at": "reports" if always else thought.at}
    return thought.model_copy(update=values)


def confirmed_tree(section: StabilityConfig, tree: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's tree with what the confirm stage asks of its runs beside what the search did."""
    thought = dict(tree.get("thought", {}))
    if section.deep:
        measure = {*thought.get("measure", []), DEEP}
        thought["measure"] = [column for column in MEASURED if column in measure]
    if (section.depth, section.breadth) != (1, 1):
        thought |= {"depth": section.depth, "breadth": section.breadth}
    return {**tree, "thought": thought} if thought else dict(tree)


def _column(name: str, diagnostics: DiagnosticsConfig) -> str:
    """The column that has to be measured for a column."""
    if name == "depth_drop":
        return _BEYOND.get(diagnostics.beyond, name)
    return _IMPLIED.get(name, name)


def _require_one_thought(key: str, thought: ThoughtConfig, section: StabilityConfig) -> None:
    own, confirm = (thought.depth, thought.breadth), (section.depth, section.breadth)
    if own == (1, 1):
        remedy = "is in no report: set thought.depth or thought.breadth"
        raise UserError(key, "thought_accuracy", remedy)
    if confirm not in ((1, 1), own):
        raise UserError(
            "stability.depth", section.depth,
            f"and breadth {section.breadth}: trials are judged by thought_accuracy at thought."
            f"depth {own[0]} and breadth {own[1]}: leave them out of stability",
        )  # fmt: skip
