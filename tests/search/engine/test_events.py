from __future__ import annotations

from typing import Any

import pytest

from search.engine.events import Broadcast
from search.ledger.trial import Trial

TRIAL = Trial(3, "explore", 3, 0, {}, {})


class Listener:
    def __init__(self, fails_at: str = "") -> None:
        self.heard: list[str] = []
        self.fails_at = fails_at

    def hear(self, what: str) -> None:
        self.heard.append(what)
        if what == self.fails_at:
            raise RuntimeError("no\nspace left")

    def started(self, trial: Trial, worker: str) -> None:
        self.hear(f"started {worker}")

    def reported(self, trial: Trial, row: Any, score: float) -> None:
        self.hear(f"reported {row['mark']} {score}")

    def paused(self, trial: Trial) -> None:
        self.hear("paused")

    def ended(self, trial: Trial) -> None:
        self.hear("ended")


ALL = ["started host:1", "reported 1 0.5", "reported 2 0.6", "paused", "ended"]


def tell(events: Broadcast) -> None:
    events.started(TRIAL, "host:1")
    events.reported(TRIAL, {"mark": 1}, 0.5)
    events.reported(TRIAL, {"mark": 2}, 0.6)
    events.paused(TRIAL)
    events.ended(TRIAL)


def test_every_listener_hears_everything() -> None:
    listeners = [Listener(), Listener()]
    tell(Broadcast(listeners))
    assert [listener.heard for listener in listeners] == [ALL, ALL]


def test_one_that_fails_is_off_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third = Listener(), Listener(fails_at="reported 1 0.5"), Listener()
    tell(Broadcast([first, second, third]))
    assert first.heard == third.heard == ALL
    assert second.heard == ALL[:2]
    assert capsys.readouterr().err == (
        "trm: warning: Listener is off after an error (RuntimeError: no space left); "
        "the run goes on\n"
    )


def test_an_interrupt_is_not_swallowed() -> None:
    class Interrupted(Listener):
        def hear(self, what: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tell(Broadcast([Interrupted()]))
