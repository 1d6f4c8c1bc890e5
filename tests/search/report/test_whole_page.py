"""What is looked for on the demo's page is found on a rich run's, and named where it is not."""

from __future__ import annotations

from pathlib import Path

from search.report.facts import read_facts
from search.report.write import sections
from tests.support.reported import made
from tests.support.whole_page import lacking

UNTRIED = ["who left the race when", "early stopping at more than 1 rungs"]
"""The made-up run has one rung, and its finalists have as many seeds each."""


def test_what_a_page_lacks_is_named(finished: Path) -> None:
    found = sections(read_facts(finished))
    assert lacking(found) == UNTRIED
    left = [section for section in found if section.name not in ("fidelity", "slices", "space")]
    assert lacking(left) == [
        UNTRIED[0], "slices", "contours", "the next space", "early stopping",
        "early stopping at more than 0 rungs", "a file to search next",
    ]  # fmt: skip


def test_a_small_run_has_no_whole_page(tmp_path: Path) -> None:
    few = lacking(sections(read_facts(made(tmp_path / "run", 6))))
    assert {"importance", "contours", "the next space"} <= set(few)
