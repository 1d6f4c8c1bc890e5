"""Lost attempts on the page, which names no machine, and in `trm status`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from search.cli import main
from search.ledger.ledger import Ledger
from search.report.attempts import attempts
from search.report.facts import read_facts
from tests.support.folders import RUNS_V1


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(RUNS_V1 / "unfinished", tmp_path / "run"))
    with Ledger.open(folder) as ledger:
        for reason in ("OSError: stale", "lost 10.0.0.7:6379"):
            ledger.preempt(
                0, ledger.begin_attempt(0), reason, cause="machine", host="secret", node="a" * 56,
                pid=3, repeated=4.0,
            )  # fmt: skip
        ledger.finish(0, "crashed", 0.0, "OSError: full")
        ledger.retry(0)
    return folder


def test_status_has_them(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(run)]) == 0
    out = capsys.readouterr().out
    assert "attempts that did not end their trial (8 s of work repeated at most):" in out
    assert "1 x preempted on secret: OSError: stale" in out
    assert "1 x crashed, run again: OSError: full" in out
    assert main(["status", "--json", str(run)]) == 0
    found = json.loads(capsys.readouterr().out)["attempts"]
    assert [one["cause"] for one in found] == ["machine", "machine", "retried"]
    assert found[0]["host"] == "secret"


def test_the_page_has_them_and_names_no_machine(run: Path) -> None:
    with Ledger.open(run) as ledger:
        ledger.preempt(0, ledger.begin_attempt(0), "asked to stop", cause="stopped")
    section = attempts(read_facts(run))
    assert section is not None
    picture = section.pictures[0]
    assert picture.says.startswith("3 attempts of 1 trial ended without ending the trial (2 x a ")
    assert "at most 8 s" in picture.says
    assert picture.table is not None
    assert [row[5] for row in picture.table.rows] == ["node 1", "node 1", ""]
    told = str(picture)
    assert "secret" not in told
    assert "a" * 56 not in told
    assert "10.0.0.7" not in told


def test_without_any_the_page_says_nothing_of_them() -> None:
    assert attempts(read_facts(RUNS_V1 / "finished")) is None
