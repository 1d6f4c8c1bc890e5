"""What of a page is drawn anew and when, in made-up time; and what of it a browser is sent."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from search.ledger.ledger import Ledger
from search.report.facts import Facts
from search.report.live import drawing
from search.report.live.drawing import AHEAD, Drawing
from search.report.live.follow import LOOKED, Follower
from search.report.live.parts import PageParts, Versions, taken_apart
from search.report.section import Section
from search.report.write import write_report
from tests.search.report.live.serving import add_trial
from tests.support.reported import made


class Time:
    """Seconds that pass when told to, and CPU seconds that are spent likewise."""

    def __init__(self) -> None:
        self.now = self.cpu = 0.0


def section(time: Time, name: str, cost: float, made: list[tuple[str, float]]) -> Any:
    def make(facts: Facts) -> Section:
        time.cpu += cost
        made.append((name, time.now))
        return Section(name, name)

    return make


def test_dear_sections_are_made_seldom_and_all_within_their_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time, made = Time(), list[tuple[str, float]]()
    makers = [section(time, "dear", 2.0, made), section(time, "cheap", 0.01, made)]
    monkeypatch.setattr(drawing, "makers", lambda facts: makers)
    drawn = Drawing(0.02, 0.005, lambda: time.now, lambda: time.cpu)
    facts: Any = None
    assert [one.name for one in drawn.sections(facts, all_now=False)] == ["dear", "cheap"]
    begun, hour = time.cpu, 3600.0
    while time.now < hour:
        time.now += 1.0
        drawn.mark_stale()
        if drawn.due():
            assert [one.name for one in drawn.sections(facts, all_now=False)] == ["dear", "cheap"]
    assert time.cpu - begun <= 0.02 * (hour + AHEAD) + 2.0
    dear = [at for name, at in made if name == "dear"]
    assert min(b - a for a, b in pairwise(dear)) >= 2.0 / 0.005
    assert len(dear) > 5
    assert len(made) > 5 * len(dear)
    # Nothing runs beside it any more: the last state is shown at once.
    time.now += 1.0
    drawn.mark_stale()
    drawn.sections(facts, all_now=True)
    assert {name for name, at in made if at == time.now} == {"dear", "cheap"}
    assert not drawn.due()


def test_a_browser_is_sent_what_it_lacks() -> None:
    versions = Versions()
    versions.take(5, PageParts("<p>a</p>", {"one": "{}", "two": "{}"}))
    assert versions.changes(0) == {
        "version": 5, "frame": "<p>a</p>", "figures": {"one": "{}", "two": "{}"},
    }  # fmt: skip
    versions.take(8, PageParts("<p>a</p>", {"one": "{}", "two": "[1]", "new": "[]"}))
    assert versions.changes(5) == {
        "version": 8, "frame": None, "figures": {"two": "[1]", "new": "[]"},
    }  # fmt: skip
    versions.take(9, PageParts("<p>b</p>", {"two": "[1]"}))
    assert versions.changes(8) == {"version": 9, "frame": "<p>b</p>", "figures": {}}


def test_a_page_comes_apart_whatever_its_names_hold(tmp_path: Path) -> None:
    run = made(tmp_path / "run", 12, result=False)
    html = Path(str(write_report(run))).read_text()
    parts = taken_apart(html)
    assert "<script" not in parts.frame
    assert html.count('id="figure-') == len(parts.figures) > 8


def test_a_run_is_read_again_when_it_changed_and_somebody_looks(tmp_path: Path) -> None:
    time = Time()
    run = made(tmp_path / "run", 4, result=False)
    follower = Follower(run, lambda: time.now, lambda: time.cpu)
    first = follower.changes(0)["version"]
    time.now += 100
    assert not follower.look()
    assert follower.changes(first)["figures"] == {}
    with Ledger.open(run) as ledger:
        number = add_trial(ledger, 1, 0.9)
        assert not follower.look(), "the next look is not due yet"
        time.now += LOOKED
        assert follower.look()
        news = follower.changes(first)
        assert f'id="live-trial-{number}"' in news["frame"]
        assert {"search", "curves"} <= news["figures"].keys()
        # What cannot be read now leaves the page as it was, with a word on it.
        (run / "run.json").rename(run / "away")
        time.now += 100
        assert not follower.look()
        assert follower.changes(0)["problem"]
        assert "cannot be read just now" in follower.changes(0)["says"]
        (run / "away").rename(run / "run.json")
        time.now += 100
        follower.look()
        assert not follower.changes(0)["problem"]
