from __future__ import annotations

import io

import pytest
from rich.console import Console

from search.ledger.trial import Trial
from search.logs import terminal as live
from search.logs.terminal import SweepDisplay


def trial(number: int, outcome: str | None = None, score: float | None = None) -> Trial:
    return Trial(
        number, "explore", number, 0, {"optimizer.lr": 0.01234}, {},
        outcome=outcome, score=score,  # type: ignore[arg-type]
    )  # fmt: skip


def drawn(display: SweepDisplay) -> str:
    console = Console(file=io.StringIO(), width=120)
    with console.capture() as capture:
        console.print(display.render())
    return capture.get()


def test_the_picture_shows_outcomes_the_best_and_every_worker() -> None:
    display = SweepDisplay(quiet=True)
    display.stage("explore", 10, done=2)
    display.started(trial(3), "host:11")
    display.started(trial(4), "host:12")
    display.reported(trial(3), {"progress": 0.5}, 0.25)
    display.started(trial(5), "host:11")
    display.reported(trial(5), {"progress": 1.0}, 0.75)
    display.ended(trial(5, "completed", 0.75))
    text = drawn(display)
    assert "explore" in text
    assert "3 of 10" in text
    assert "completed 1" in text
    assert "done before 2" in text
    assert "best 0.7500  trial 5  lr=0.0123" in text
    assert "host:11" in text
    assert "50%" in text
    assert "host:12" in text
    assert "left" in text


def test_trials_that_wait_are_counted_until_they_go_on_or_end() -> None:
    display = SweepDisplay(quiet=True)
    display.stage("explore", 10)
    for number in (0, 1):
        display.started(trial(number), "host:11")
        display.reported(trial(number), {"progress": 0.25}, 0.25)
        display.paused(trial(number))
    assert "waiting 2" in drawn(display)
    assert "host:11" not in drawn(display)
    display.started(trial(0), "host:12")
    assert "waiting 1" in drawn(display)
    assert "25%" in drawn(display), "it goes on from where it stood"
    display.ended(trial(1, "pruned", 0.25))
    assert "waiting" not in drawn(display)
    assert "pruned 1" in drawn(display)


def test_no_estimate_before_anything_ended() -> None:
    display = SweepDisplay(quiet=True)
    display.stage("explore", 10)
    display.started(trial(0), "host:1")
    assert display.seconds_left() is None
    assert "0 of 10" in drawn(display)


def test_a_terminal_gets_the_picture_and_a_pipe_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for is_terminal in (True, False):
        file = io.StringIO()
        console = Console(file=file, force_terminal=is_terminal, width=100)
        monkeypatch.setattr(live, "console", console)
        with SweepDisplay() as display:
            display.stage("confirm", 4)
            display.started(trial(0), "host:1")
        assert ("confirm" in file.getvalue()) is is_terminal


def test_a_reference_run_ahead_of_its_stage_is_shown_and_not_counted() -> None:
    display = SweepDisplay(quiet=True)
    display.stage("explore", 10)
    early = Trial(7, "reference", -1, 1001, {}, {}, outcome="completed", score=0.5)
    late = Trial(8, "reference", -1, 1002, {}, {}, outcome="completed", score=0.5)
    for one in (early, late):
        display.started(one, f"host:{one.id}")
        display.reported(one, {"progress": 1.0}, 0.5)
    assert "host:7" in drawn(display)
    display.ended(early)
    assert "0 of 10" in drawn(display)
    assert display.seconds_left() is None
    display.stage("promise", 6, 1)
    assert "host:8" in drawn(display), "it runs still"
    display.ended(late)
    assert "2 of 6" in drawn(display)
