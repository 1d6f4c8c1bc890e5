"""What the page of a run that has everything must show, figure by figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.report.section import Section

WANTED = {
    "curves": "the winner's learning curve",
    "race": "the race",
    "race-course": "who left the race when",
    "search": "the search",
    "importance-score": "importance",
    "slice-": "slices",
    "contour-": "contours",
    "parallel": "parallel coordinates",
    "space": "the next space",
    "fidelity": "early stopping",
    "halting": "halting",
    "depth": "accuracy beyond the trained depth",
    "costs-": "costs",
}
"""By the name of a figure, or its beginning before a dash, what it shows."""
FEWEST_FINALISTS, FEWEST_RUNGS = 3, 2


def lacking(sections: Sequence[Section]) -> list[str]:
    """What the sections of a page do not show; empty where they are whole."""
    figures = {
        panel.name: panel.figure
        for section in sections
        for picture in section.pictures
        for panel in picture.panels
    }
    missing = [
        what
        for name, what in WANTED.items()
        if not any(found == name or (name[-1] == "-" and found.startswith(name))
                   for found in figures)
    ]  # fmt: skip
    raced = sum(name.startswith("trial ") for name in _rows_of(figures, "race"))
    if raced < FEWEST_FINALISTS:
        missing.append(f"a race of more than {raced} finalists")
    rungs = max((len(set(trace.x)) for trace in _traces(figures, "fidelity")), default=0)
    if rungs < FEWEST_RUNGS:
        missing.append(f"early stopping at more than {rungs} rungs")
    if not any(section.name == "space" and section.code for section in sections):
        missing.append("a file to search next")
    return missing


def _rows_of(figures: Mapping[str, Any], name: str) -> Sequence[str]:
    return figures[name].layout.yaxis.categoryarray or () if name in figures else ()


def _traces(figures: Mapping[str, Any], name: str) -> Sequence[Any]:
    return figures[name].data if name in figures else ()
