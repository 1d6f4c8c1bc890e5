"""Who runs which attempt, and what each used."""

from __future__ import annotations

import pytest

from search.engine.attempts.running import Running
from search.engine.workers import Worker
from search.ledger.ledger import Ledger


def test_an_attempt_from_its_opening_to_its_end(ledger: Ledger) -> None:
    trial, running = ledger.trials[0], Running()
    running.open("a", trial, 1)
    assert (len(running), running.lacks_workers, running.trains) == (1, True, False)
    assert not running.take("a", "one"), "nobody knows it yet"
    assert (running.lacks_workers, list(running.started)) == (False, ["a"])
    running.introduce("a", Worker("h", 7, "n"))
    running.used("a", {"memory": 3})
    assert running.trains
    [at_work] = running.at_work()
    assert at_work.pop("at") > 0
    assert at_work == {
        "trial": 0, "attempt": 1, "host": "h", "pid": 7, "node": "n", "memory": 3,
    }  # fmt: skip
    running.leave("a")
    assert running.at_work() == []
    assert (len(running), running.unsaved("a")) == (1, 0.0), "it is not put away yet"
    running.close("a")
    assert len(running) == 0
    running.open("b", trial, 2)
    assert running.take("b", "one"), "it said who it is when it had the first one"
    assert (running.pids, running.worker("b").node) == ({"b": 7}, "n")


def test_refusals_in_a_row_end_with_a_report(ledger: Ledger) -> None:
    running = Running()
    running.open("a", ledger.trials[0], 1)
    running.refused["a"] += 2
    running.reported("a")
    assert running.refused["a"] == 0


def test_of_a_common_model_each_repeats_its_part(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("search.engine.attempts.running.time.monotonic", lambda: clock[0])
    running = Running()
    for seed in (6, 7, 8):
        ledger.add_trial(stage="explore", params={}, config={}, seed=seed)
    for number in range(4):
        running.open("a", ledger.trials[number], 1)
    assert (len(running), len(running.live)) == (1, 4)
    clock[0] += 8.0
    crew = running.crew("a")
    assert [running.unsaved(name) for name in crew] == [2.0] * 4
    running.leave(crew[0])
    assert running.crew("a") == crew[1:]
    assert running.whose("a", 2) == crew[2]
    assert running.whose("a", 0) is None
    running.close("a")
    assert (len(running), running.live) == (0, {})
