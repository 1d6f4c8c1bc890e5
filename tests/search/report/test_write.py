"""Reports of runs in every state: what they say is what the run folder holds."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from copy import deepcopy
from html import unescape
from pathlib import Path

import pytest

from search.cli import main
from search.config.plan import simulated_plan, write_plan
from search.ledger.files import REPORT_FILE
from search.ledger.ledger import Ledger
from search.ledger.reader import read_trials
from search.report.facts import Facts, read_facts
from search.report.fidelity import rungs
from search.report.headline import gap, headline
from search.report.images import _alone, write_images
from search.report.section import MOST_ROWS, Section
from search.report.write import sections, write_report
from search.stability.result import read_result
from search.stats.intervals import difference, share_interval
from tests.support.browser import CHROMIUM
from tests.support.folders import RUNS_V1
from tests.support.reported import BUDGET, TREE, made
from trm.errors import UserError
from trm.files.yaml12 import parse_yaml


@pytest.fixture(scope="module")
def facts(finished: Path) -> Facts:
    return read_facts(finished)


@pytest.fixture(scope="module")
def parts(facts: Facts) -> dict[str, Section]:
    return {section.name: section for section in sections(facts)}


def said(parts: dict[str, Section], name: str) -> str:
    return " ".join(picture.says for picture in parts[name].pictures)


def texts(html: str) -> str:
    """What a reader sees of a page: its body without scripts."""
    body = html[html.index("<body>") :]
    return unescape(re.sub(r"<script.*?</script>|<[^>]+>", " ", body, flags=re.DOTALL))


def scripts(html: str) -> Iterator[str]:
    yield from re.findall(r"<script[^>]*>", html)


def test_the_headline_is_the_result(finished: Path, facts: Facts) -> None:
    result = read_result(finished)
    assert result is not None
    head = headline(facts)
    promise, reference = result.promise, result.reference
    assert head.title == "made-up"
    assert f"Trial {result.winner} won" in head.verdict
    assert head.box is not None
    words = (
        f"a fresh seed of it reaches exact_accuracy {promise.low:.3f} to {promise.high:.3f} (90%)"
    )
    assert words in [reason.words for reason in head.box.reasons]
    (best,) = head.code
    assert parse_yaml(best.text, "best.yaml")["name"] == "made-up-best"
    values = {figure.label: figure.value for figure in head.figures}
    assert values["promised exact_accuracy"] == f"{promise.low:.3f} to {promise.high:.3f}"
    assert values["mean over fresh seeds"] == f"{promise.mean:.3f}"
    assert values["your defaults"] == f"{reference.mean:.3f}"
    assert values["exact accuracy on test"] == f"{promise.test_mean:.3f}"
    assert values["trials of the winner failed"] == "0 of 8"
    expected = difference(promise.scores, reference.scores, 0.9, examples=500)
    assert gap(facts) == expected
    assert values["against your defaults"] == f"{expected.mean:+.3f}"
    assert head.params["optimizer"] == facts.trials[result.winner].params["optimizer"]
    assert head.missing == []


def test_every_section_of_a_rich_run_is_there(parts: dict[str, Section]) -> None:
    assert list(parts) == [
        "curves", "race", "luck", "search", "importance", "slices", "parallel", "outlook", "space",
        "fidelity", "halting", "depth", "failures", "costs", "reproduce",
    ]  # fmt: skip
    names = [
        panel.name
        for section in parts.values()
        for picture in section.pictures
        for panel in picture.panels
    ]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-zA-Z0-9-]+", name) for name in names), names
    for section in parts.values():
        for picture in section.pictures:
            assert picture.says.rstrip().endswith("."), picture.says
            assert picture.table or picture.panels


def test_costs_by_hand(finished: Path, facts: Facts, parts: dict[str, Section]) -> None:
    trials = read_trials(finished).values()
    searched = [trial for trial in trials if trial.stage == "explore"]
    pruned = [trial for trial in searched if trial.outcome == "pruned"]
    saved = sum(BUDGET - trial.compute for trial in pruned)
    share = saved / (saved + sum(trial.compute for trial in searched))
    text = said(parts, "costs")
    assert f"Stopping {len(pruned)} trials early saved {share:.0%} of" in text
    total = sum(trial.compute for trial in trials)
    assert f"took {total:.2e} training FLOPs, that of {total / BUDGET:.0f} full trainings" in text
    failed = sum(trial.compute for trial in trials if trial.outcome == "diverged")
    assert f"Failures took {failed / total:.0%}" in text


def test_scores_of_trials_that_were_stopped_have_the_interval_of_their_examples(
    facts: Facts, parts: dict[str, Section]
) -> None:
    table = parts["search"].pictures[0].table
    assert table is not None
    points = {f"trial {point.trial}": point for point in facts.points}
    stopped = [row for row in table.rows if row[1] == "pruned"]
    assert stopped
    for name, _, shown, *_ in stopped:
        found = share_interval(points[name].score, 500)
        assert shown.endswith(f" ({found.low:.3f} to {found.high:.3f})")
    assert all("to" not in row[2] for row in table.rows if row[1] == "completed")


def test_the_race_names_who_may_still_win(facts: Facts, parts: dict[str, Section]) -> None:
    result = facts.result
    assert result is not None
    best = result.candidates[0]
    text = said(parts, "race")
    assert f"Trial {best.trial} has the best robust score, {best.robust:.3f}" in text
    figure = parts["race"].pictures[0].panels[0].figure
    drawn = sorted(x for trace in figure.data if trace.hovertemplate and "one seed" in
                   trace.hovertemplate for x in trace.x)  # fmt: skip
    scores = [s for c in result.candidates for s in c.scores] + result.reference.scores
    assert drawn == sorted(scores)


def test_thinned_rungs_say_how_many_trials_take_part(
    facts: Facts, parts: dict[str, Section], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "take part" not in parts["fidelity"].intro
    monkeypatch.setattr("search.report.fidelity.MOST_TRIALS", 50)
    section = rungs(facts)
    assert section is not None
    table = section.pictures[0].table
    assert table is not None
    first = table.rows[0]
    known = int(first[-1])
    assert known > 50 == int(first[-3]) + int(first[-2])
    assert f"evenly spread: 50 of {known} at {first[1]}" in section.intro


def test_failures_are_listed_with_their_reasons(finished: Path, parts: dict[str, Section]) -> None:
    failed = [t for t in read_trials(finished).values() if t.outcome == "diverged"]
    table = parts["failures"].pictures[0].table
    assert table is not None
    assert [row[0] for row in table.rows][: len(failed)] == [
        f"trial {trial.id}" for trial in failed
    ]
    assert all("numeric divergence at" in row[4] for row in table.rows[: len(failed)])
    assert f"{len(failed)} trials of" in said(parts, "failures")


def test_the_curriculum_of_the_winner(tmp_path: Path) -> None:
    tree = deepcopy(TREE)
    tree["curriculum"]["depth"]["choice"] = tree["curriculum"]["depth"]["choice"]["options"][1:]
    tree["model"]["L_cycles"] = {"int": [3, 3]}
    facts = read_facts(made(tmp_path / "run", 40, tree=tree))
    parts = {section.name: section for section in sections(facts)}
    assert "L cycles from 1 to 3" in said(parts, "curriculum")
    panels = {panel.title: panel.figure for panel in parts["curriculum"].pictures[0].panels}
    assert list(panels["L cycles"].data[0].y) == [1.0] * 5 + [3.0] * 5


def test_several_objectives_and_constraints(tmp_path: Path) -> None:
    search = {"objective": ["exact_accuracy", "latency"], "constraints": ["mean_steps <= 2.5"]}
    facts = read_facts(made(tmp_path / "run", 60, changes=search))
    parts = {section.name: section for section in sections(facts)}
    table = parts["front"].pictures[0].table
    assert table is not None
    front = [tuple(map(float, row[1:3])) for row in table.rows]
    assert front == sorted(front, reverse=True), "less accuracy is bought by less latency alone"
    assert "a constraint is broken" in said(parts, "front")


def test_the_suggested_file_is_a_sweep(
    parts: dict[str, Section], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.sweep.dry_run._TIMED_SECONDS", 0.1)
    (code,) = parts["space"].code
    tree = parse_yaml(code.text, "next.yaml")
    assert tree["search"]["first"]
    path = tmp_path / "next.yaml"
    path.write_text(code.text)
    assert main(["sweep", str(path), "--dry-run", "--out", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize("name", ["finished", "unfinished"])
def test_runs_of_version_1(name: str, tmp_path: Path) -> None:
    html = Path(str(write_report(RUNS_V1 / name, tmp_path / "page.html"))).read_text()
    text = texts(html)
    assert ("the confirm stage has not ended" in text) is (name == "unfinished")
    assert ("Trial 3 won" in text) is (name == "finished")


def test_a_run_without_a_trial(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "run") as ledger:
        write_plan(ledger.folder, simulated_plan(deepcopy(TREE)))
    text = texts(Path(str(write_report(tmp_path / "run"))).read_text())
    assert "Nothing has run yet." in text
    assert "0 of 200 trials are drawn" in text
    assert (tmp_path / "run" / REPORT_FILE).is_file()


def test_a_run_in_which_all_failed(tmp_path: Path) -> None:
    plan = simulated_plan(deepcopy(TREE))
    with Ledger.create(tmp_path / "run") as ledger:
        write_plan(ledger.folder, plan)
        for number in range(5):
            params, config = plan.space.default()
            ledger.add_trial(stage="explore", params=params, config=config, seed=0)
            ledger.begin_attempt(number)
            ledger.finish(number, "crashed", 0.0, "ValueError: <b>no</b>")
        ledger.add_trial(stage="explore", params=params, config=config, seed=0)
    text = texts(Path(str(write_report(tmp_path / "run"))).read_text())
    assert "no trial of the search has run to its end without failing" in text
    assert "5 trials of 5 failed (100%): 5 crashed" in text
    assert "ValueError: <b>no</b>" in text
    assert "1 trial unfinished" in text


@pytest.mark.parametrize("trials", [3, 8])
def test_a_search_that_ended_with_every_trial_failed(
    trials: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.reported.fails", lambda params, rng: True)
    run = made(tmp_path / "run", trials, result=False)
    drawn = {section.name for section in sections(read_facts(run))}
    assert {"curves", "failures", "costs", "search"} <= drawn
    assert not drawn & {"slices", "parallel", "depth", "space", "importance"}
    text = texts(Path(str(write_report(run))).read_text())
    assert "Every trial of the search failed: there is none to confirm." in text
    assert f"{trials} of {trials} trials failed" in text
    assert ("Half of them had failed after" in text) is (trials >= 5)
    # Nothing sends a reader on with what brought nothing.
    assert "trm diagnose" in text
    assert "--resume" not in text


@pytest.mark.slow
def test_five_thousand_trials_stay_small(tmp_path: Path) -> None:
    made(tmp_path / "run", 5000)
    out = tmp_path / "page.html"
    write_report(tmp_path / "run", out)
    html = out.read_text()
    figures = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html, re.DOTALL)
    assert sum(map(len, figures)) < 4.5e5
    assert len(html) < 2e6
    assert f"The first {MOST_ROWS} of" in html
    shown = [json.loads(figure) for figure in figures]
    assert all(
        len(trace.get("customdata", [])) <= 1000
        for figure in shown
        if "data" in figure
        for trace in figure["data"]
        if isinstance(trace.get("customdata"), list)
    )


def test_the_page_holds_everything_and_asks_for_nothing(finished: Path, tmp_path: Path) -> None:
    html = Path(str(write_report(finished, tmp_path / "page.html"))).read_text()
    tags = list(scripts(html))
    assert all("src" not in tag for tag in tags)
    own = re.sub(r"<script>/\*\*\s*\* plotly.js.*?</script>", "", html, flags=re.DOTALL)
    assert len(own) < len(html) / 2, "the library is cut out"
    assert not re.search(r"https?://|url\(|@import|<link|<img|<iframe", own)
    assert "default-src &#x27;none&#x27;" in own


def test_the_command(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "page.html"
    assert main(["report", str(RUNS_V1 / "finished"), "--out", str(out)]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert main(["report", str(tmp_path)]) == 2
    assert "holds no sweep" in capsys.readouterr().err
    out.parent.mkdir()
    assert main(["report", str(finished), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"written to {out}\n"
    assert 1.5e6 < out.stat().st_size < 2e6


def test_images_need_kaleido(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kaleido", None)
    with pytest.raises(UserError, match=r"pip install 'trm-search\[images\]'"):
        write_report(RUNS_V1 / "finished", tmp_path / "page.html", images=tmp_path / "images")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt install chromium")
def test_images_of_a_section(parts: dict[str, Section], tmp_path: Path) -> None:
    pytest.importorskip("kaleido")
    paths = write_images(tmp_path / "images", [parts["race"]], "svg")
    assert [path.name for path in paths] == ["race.svg"]
    drawn = paths[0].read_text()
    assert drawn.startswith("<svg")
    assert "reference recipe" in drawn


def test_an_image_says_what_stands_above_the_figure_on_the_page(parts: dict[str, Section]) -> None:
    panel = parts["slices"].pictures[0].panels[0]
    before = panel.figure.to_json()
    assert panel.title
    assert _alone(panel).layout.title.text == panel.title
    assert panel.figure.to_json() == before, "the page's own figure is left as it is"
