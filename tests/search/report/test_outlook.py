"""What more searching would bring, on the page as in status, and how such a forecast fared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from search.analysis.status import status
from search.ledger.wall_clock import TIME_FILE
from search.report.facts import read_facts
from search.report.outlook import foreseen
from search.report.questions import questions
from search.report.write import write_report
from tests.support.reported import made


def timed(run: Path, seconds: float) -> Path:
    (run / TIME_FILE).write_text(json.dumps({"schema_version": 1, "wall_seconds": seconds}))
    return run


def test_the_page_says_what_status_says_and_looks_back(finished: Path, tmp_path: Path) -> None:
    run = timed(Path(shutil.copytree(finished, tmp_path / "run")), 7200.0)
    section = foreseen(read_facts(run))
    assert section is not None
    text = section.pictures[0].says
    said = status(run)["another_hour"]["text"]
    assert said[1:] in text
    assert "Looking back, after " in text
    table = section.pictures[0].table
    assert table is not None
    (now, then) = table.rows
    assert now[0] == "another hour"
    assert now[-1] == ""
    assert float(then[3]) <= float(then[2]) <= float(then[4])
    ends = (float(then[3]), float(then[4]))
    assert ("inside that" in text) == (ends[0] <= float(then[5]) <= ends[1])
    [more] = [one for one in questions(read_facts(run)) if one.name == "more"]
    assert more.title == "What would more compute bring?"
    assert section.name in more.sections
    page = str(write_report(run, tmp_path / "page.html"))
    assert said[1:] in Path(page).read_text(encoding="utf-8").replace("&#x27;", "'")


def test_a_limit_on_the_gain_is_said_and_a_small_run_has_no_forecast(tmp_path: Path) -> None:
    limits = {"limits": {"gain": 0.002}}
    run = timed(made(tmp_path / "run", 60, result=False, changes=limits), 600.0)
    section = foreseen(read_facts(run))
    assert section is not None
    assert "expected to bring less than 0.002 (search.limits.gain)" in section.pictures[0].says
    assert foreseen(read_facts(timed(made(tmp_path / "few", 6), 600.0))) is None
