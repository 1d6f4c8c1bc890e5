"""That `make bench` refuses a busy machine, and that each of its rows can be made."""

from __future__ import annotations

import sys

import pytest

from tests.benchmarks import __main__, rest, table
from tests.benchmarks.first_step import PROGRAMS


def test_a_busy_machine_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rest, "LEAST_SHARE", 1.5)
    monkeypatch.setattr(rest, "SPIN_SECONDS", 0.01)
    for words in ([], ["demo_sweep"]):
        monkeypatch.setattr(sys, "argv", ["benchmarks", *words])
        with pytest.raises(SystemExit, match="too busy to measure: a busy loop gets"):
            __main__.main()
    assert 0.0 < rest.require_rest(anyway=True) < 1.5
    assert "|" not in capsys.readouterr().out


@pytest.mark.slow
def test_every_row_without_ray_can_be_made() -> None:
    rows = [row for section in table.sections(table.TINY)[:-2] for row in section()]
    whats = [row.what for row in rows]
    for name in PROGRAMS:
        assert any(name in what for what in whats), name
    for words in ("golden", "step, arrows4", "evaluations of arrows4", "a trial of arrows4"):
        assert any(words in what for what in whats), words
    assert all(row.text().count("|") == 6 for row in rows)
