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


def drawn(display: SweepDisplay, monkeypatch: pytest.MonkeyPatch, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    monkeypatch.setattr(live, "console", console)
    with console.capture() as capture:
        console.print(display.render())
    return capture.get()


def test_the_picture_shows_outcomes_the_best_and_every_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    display = SweepDisplay(quiet=True)
    display.stage("explore", 10, done=2)
    display.started(trial(3), "host:11")
    display.started(trial(4), "host:12")
    display.reported(trial(3), {"progress": 0.5}, 0.25)
    display.started(trial(5), "host:11")
    display.reported(trial(5), {"progress": 1.0}, 0.75)
    display.ended(trial(5, "completed", 0.75))
    text = drawn(display, monkeypatch)
    assert "explore" in text
    assert "3 of 10" in text
    assert "completed 1" in text
    assert "done before 2" in text
    assert "best 0.7500  trial 5  lr=0.0123" in text
    assert "host:11" in text
    assert "50%" in text
    assert "host:12" in text
    assert "left" in text


def test_trials_that_wait_are_counted_until_they_go_on_or_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    display = SweepDisplay(quiet=True)
    display.stage("explore", 10)
    for number in (0, 1):
        display.started(trial(number), "host:11")
        display.reported(trial(number), {"progress": 0.25}, 0.25)
        display.paused(trial(number))
    assert "waiting 2" in drawn(display, monkeypatch)
    assert "host:11" not in drawn(display, monkeypatch)
    display.started(trial(0), "host:12")
    assert "waiting 1" in drawn(display, monkeypatch)
    assert "25%" in drawn(display, monkeypatch), "it goes on from where it stood"
    display.ended(trial(1, "pruned", 0.25))
    assert "waiting" not in drawn(display, monkeypatch)
    assert "pruned 1" in drawn(display, monkeypatch)


def test_no_estimate_before_anything_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    display = SweepDisplay(quiet=True)
    display.stage("explore", 10)
    display.started(trial(0), "host:1")
    assert display.seconds_left() is None
    assert "0 of 10" in drawn(display, monkeypatch)


def test_a_terminal_gets_the_picture_and_a_pipe_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for is_terminal in (True, False):
        file = io.StringIO()
        console = Console(file=file, force_terminal=is_terminal, width=100)
        monkeypatch.setattr(live, "console", console)
        with SweepDisplay() as display:
            display.stage("confirm", 4)
            display.started(trial(0), "host:1")
        assert ("confirm" in file.getvalue()) is is_terminal


def test_a_reference_run_ahead_of_its_stage_is_shown_and_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    display = SweepDisplay(quiet=True)
    display.stage("explore", 10)
    early = Trial(7, "reference", -1, 1001, {}, {}, outcome="completed", score=0.5)
    late = Trial(8, "reference", -1, 1002, {}, {}, outcome="completed", score=0.5)
    for one in (early, late):
        display.started(one, f"host:{one.id}")
        display.reported(one, {"progress": 1.0}, 0.5)
    assert "host:7" in drawn(display, monkeypatch)
    display.ended(early)
    assert "0 of 10" in drawn(display, monkeypatch)
    assert display.seconds_left() is None
    display.stage("promise", 6, 1)
    assert "host:8" in drawn(display, monkeypatch), "it runs still"
    display.ended(late)
    assert "2 of 6" in drawn(display, monkeypatch)


def test_it_says_what_is_decided_and_how_long_all_stages_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    monkeypatch.setattr(live, "console", console)
    display = SweepDisplay()
    display.stage("explore", 10, place="stage 1 of 3", decides="which configs go on")
    asked: list[int] = []

    def left() -> float:
        asked.append(1)
        return 4000.0

    display.whole = left
    for number in range(3):
        display.started(trial(number), "host:1")
        display.reported(trial(number), {"progress": 1.0}, 0.5)
        display.ended(trial(number, "completed", 0.5))
    text = drawn(display, monkeypatch)
    assert len(asked) == 1, "asked once a second at most"
    assert "explore, stage 1 of 3" in text
    assert "decides which configs go on" in text
    assert "about 1 h 6 min left of all" in text
    display.whole = lambda: None
    display._whole = (0.0, None)
    display.reported(trial(4), {"progress": 1.0}, 0.5)
    assert "left of this stage" in drawn(display, monkeypatch)


@pytest.mark.parametrize("width", [40, 60, 80, 140])
def test_lines_fit_the_terminal_and_show_the_learning_rate(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = {f"model.setting_{n}": n for n in range(12)} | {"optimizer.lr": 0.00123}
    display = SweepDisplay(quiet=True)
    display.order = sorted(params, reverse=True)[1:]
    display.stage("explore", 10, place="stage 1 of 3", decides="which configs go on " * 9)
    for number in range(9, 12):
        one = Trial(number, "explore", number, 0, params, {}, outcome="completed", score=0.5)
        display.started(one, f"host-with-a-name:{number}")
        display.reported(one, {"progress": 0.5}, 0.25)
    display.ended(one)
    lines = drawn(display, monkeypatch, width).splitlines()
    assert len(lines) == 4 + 1 + 2, "each thing on its line"
    assert all(len(line) <= width for line in lines)
    best = next(line for line in lines if line.startswith("best"))
    assert "lr=0.00123" in best
    if width >= 80:
        assert all("lr=0.00123" in line for line in lines if line.startswith("host"))
    if width == 140:
        assert "setting_9=9 setting_8=8" in best
