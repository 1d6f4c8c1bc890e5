"""What was acknowledged and is not in the ledger is found, whichever kind of record it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.ledger.journal import Journal
from search.ledger.ledger import Ledger
from tests.support.reported import curve
from tests.support.told import Listener, Telling, Told, lost, lost_trials

PARAMS: dict[str, Any] = {
    "optimizer": "adamw", "optimizer[adamw].lr": 0.01, "model.L_cycles": 2, "model.H_cycles": 2,
    "curriculum.depth": "none", "loss.halt_weight": 0.5,
}  # fmt: skip


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Told]:
    """Of a run in which a trial waited, one lost a worker and ended, and one crashed."""
    monkeypatch.setattr(Journal, "append", Journal.append)  # taken back at the end
    Telling(tmp_path / "told")
    with Ledger.create(tmp_path / "run") as ledger:
        rows = curve(0, PARAMS, 0, 2, diverges=False)
        for number in range(3):
            trial = ledger.add_trial(stage="explore", params={}, config={}, seed=number)
            ledger.begin_attempt(trial.id)
            ledger.acknowledge(trial.id, 1, rows[0])
        ledger.pause(0)
        ledger.preempt(1, 1, "gone", cause="node", host="there")
        ledger.begin_attempt(1)
        ledger.acknowledge(1, 2, rows[1])
        ledger.finish(1, "completed", 0.5)
        ledger.finish(2, "crashed", 0.0, "its machine's fault")
    return Listener(tmp_path / "told").listen()


def test_nothing_is_lost_of_what_stands(told: list[Told], tmp_path: Path) -> None:
    assert [one["k"] for one in told].count("row") == 4
    assert lost(told, tmp_path / "run") == []
    assert lost_trials(told) == [2]
    with Ledger.open(tmp_path / "run") as ledger:
        ledger.compact()
    assert lost(told, tmp_path / "run") == []


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("trial", {"seed": 9}),
        ("trial", {"t": 9}),
        ("attempt", {"attempt": 9}),
        ("row", {"attempt": 9}),
        ("end", {"outcome": "pruned"}),
        ("end", {"reason": "another"}),
        ("preempted", {"attempt": 9}),
        ("preempted", {"cause": "worker"}),
    ],
)
def test_what_does_not_stand_is_lost(
    told: list[Told], tmp_path: Path, kind: str, change: dict[str, Any]
) -> None:
    one = next(one for one in told if one["k"] == kind)
    assert lost([{**one, **change}], tmp_path / "run") == [{**one, **change}]


def test_a_trial_that_waited_and_waits_no_more_is_lost(told: list[Told], tmp_path: Path) -> None:
    other = {"k": "pause", "t": 2, "when": 0.0}
    assert lost([*told, other], tmp_path / "run") == []  # it has ended
    with Ledger.open(tmp_path / "run") as ledger:
        ledger.retry(2)
    assert [one["k"] for one in lost([*told, other], tmp_path / "run")] == ["end", "pause"]


def test_a_report_that_is_missing_or_has_another_value_is_lost(
    told: list[Told], tmp_path: Path
) -> None:
    one = next(one for one in told if one["k"] == "row")
    for change in ({"mark": 7}, {"train_loss": 0.25}):
        other = {**one, "row": {**one["row"], **change}}
        assert lost([other], tmp_path / "run") == [other]


def test_who_runs_and_who_waits_is_known(tmp_path: Path) -> None:
    listener, file = Listener(tmp_path / "told"), open(tmp_path / "told", "w")  # noqa: SIM115
    with file:
        file.write('{"k": "started", "t": 1, "attempt": 1, "worker": "a:1", "when": 1.0}\n{"k": "r')
        file.flush()
        assert list(listener.live()) == [1]
        file.write('ow", "t": 1, "attempt": 1, "when": 2.0}\n')
        file.flush()
        assert listener.since_work(1, 5.0, 1) == 3.0
        assert listener.since_work(1, 5.0, 2) == 0.0
        file.write('{"k": "pause", "t": 1, "when": 3.0}\n')
        file.flush()
        assert not listener.live()
        assert listener.waiting()[1]["worker"] == "a:1"
        file.write('{"k": "attempt", "t": 1, "when": 4.0}\n')
        file.flush()
        assert not listener.waiting()
