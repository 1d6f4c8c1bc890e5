"""Pages of runs that lie in an S3 bucket: read from there, and written there."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest

from search.cli import main
from search.config.plan import simulated_plan, write_plan
from search.ledger.files import REPORT_FILE
from search.ledger.ledger import Ledger
from search.ledger.storage import Remote, place
from search.report.facts import read_facts
from search.report.write import sections
from search.stability.result import read_result
from tests.support.bred import TREE as BRED
from tests.support.reported import LR, MARKS, TREE, curve, quality
from trm.files.yaml12 import dump_yaml

Uri = Callable[[str], str]


def begun(where: Remote) -> None:
    """A search of eight trials that was left before its race."""
    plan = simulated_plan(deepcopy(TREE))
    with Ledger.create(where) as ledger:
        write_plan(where, plan)
        params, _ = plan.space.default()
        for number in range(8):
            mine = {**params, LR: params[LR] * (1 + number / 10)}
            trial = ledger.add_trial(
                stage="explore", params=mine, config=plan.space.apply(mine), seed=0
            )
            attempt = ledger.begin_attempt(trial.id)
            for row in curve(trial.id, mine, 0, MARKS, diverges=False):
                ledger.acknowledge(trial.id, attempt, row)
            ledger.finish(trial.id, "completed", quality(mine))


def remote(uri: str) -> Remote:
    where = place(uri)
    assert isinstance(where, Remote)
    return where


def test_a_page_is_written_beside_its_run_or_here(
    uri: Uri, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = remote(uri("run"))
    begun(where)
    assert main(["report", uri("run")]) == 0
    said = capsys.readouterr().out
    assert REPORT_FILE in said
    commands = {section.name: section for section in sections(read_facts(where))}["reproduce"].code
    assert shlex.split(commands[0].text.split("\n")[0]) == ["trm", "status", uri("run")]
    html = (where / REPORT_FILE).read_text(encoding="utf-8")
    assert "No winner yet. Trial 7 leads the search" in html
    assert 'id="figure-curves"' in html
    here = tmp_path / "page.html"
    assert main(["report", uri("run"), "--out", str(here)]) == 0
    assert capsys.readouterr().out == f"written to {here}\n"
    assert here.stat().st_size > 1e6
    elsewhere = uri("pages/page.html")
    assert main(["report", uri("run"), "--out", elsewhere]) == 0
    assert place(elsewhere).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert main(["report", uri("nothing")]) == 2
    assert "holds no sweep" in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_of_a_population_in_a_bucket(uri: Uri, tmp_path: Path) -> None:
    """Bred, raced and promised through the command line."""
    file = tmp_path / "bred.yaml"
    file.write_text(dump_yaml(BRED))
    sets = ["--set", "search.scheduler.members=2", "--set", "search.scheduler.generations=2"]
    for words in (["sweep", str(file), "--out", uri("run"), *sets], ["report", uri("run")]):
        done = subprocess.run(
            [sys.executable, "-m", "search.cli", *words], capture_output=True, text=True,
            timeout=500, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    where = remote(uri("run"))
    result, facts = read_result(where), read_facts(where)
    assert result is not None
    found = {section.name: section for section in sections(facts)}
    assert {"race", "population", "curves", "costs"} <= set(found)
    *_, line = found["population"].pictures[0].panels[0].figure.data
    assert line.name == "line of the winner"
    assert line.y[-1] == facts.trials[result.winner].score
    # The page's own commands are a shell's, and get the winner's file from where it lies.
    commands = found["reproduce"].code[0].text.split("\n")
    _, _, run, *rest = shlex.split(commands[1])
    assert (run, rest) == (uri("run"), ["--out", "best.yaml"])
    assert commands[2].startswith("trm train best.yaml ")
    assert main(["export", run, "--out", str(tmp_path / "best.yaml")]) == 0
    html = (where / REPORT_FILE).read_text(encoding="utf-8")
    assert f"Trial {result.winner} won" in html
    assert 'id="figure-population"' in html
