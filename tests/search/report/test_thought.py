"""What the page says of depth and breadth is what the run folder holds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from search.analysis.thought.result import save_thought
from search.report.facts import read_facts
from search.report.thought import thought as section_of
from search.report.write import write_report
from tests.support.thoughts import thought

RUN = Path(__file__).parents[2] / "data/run_v1/finished"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(RUN, folder)
    return folder


def test_a_run_that_nobody_has_evaluated_has_no_such_part(run: Path) -> None:
    assert section_of(read_facts(run)) is None


def test_figure_and_table_have_every_point(run: Path) -> None:
    found = thought(2)
    save_thought(run, found)
    section = section_of(read_facts(run))
    assert section is not None
    [picture] = section.pictures
    by_name = {trace.name: trace for trace in picture.panels[0].figure.data}
    depth = by_name["depth, picked by best_q"]
    shares = [point.picked["best_q"] for point in found.by_depth]
    assert list(depth.y) == [share.mean for share in shares]
    assert list(depth.x) == [point.flops for point in found.by_depth]
    ends = [high + y for high, y in zip(depth.error_y.array, depth.y, strict=True)]
    assert ends == pytest.approx([share.high for share in shares])
    passing = by_name["breadth, pass@K"]
    assert list(passing.y) == [point.passed.mean for point in found.by_breadth]
    assert "depth, last answer" in by_name
    assert picture.table is not None
    assert len(picture.table.rows) == 4
    assert all(len(row) == len(picture.table.columns) for row in picture.table.rows)
    gain = found.by_breadth[-1].picked["best_q"].mean - found.points[0].picked["best_q"].mean
    verb = "gains" if gain > 0 else "loses"
    assert f"{verb} {abs(gain):.3f} with 8 rollouts" in picture.says
    assert "means over 2 seeds" in section.intro


def test_it_stands_on_the_page(run: Path) -> None:
    save_thought(run, thought())
    page = write_report(run)
    text = page.read_text(encoding="utf-8")
    assert 'id="thought"' in text
    assert "Depth and breadth" in text
