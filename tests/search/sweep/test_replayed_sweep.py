"""A real sweep of two workers that is cut short, resumed and extended is drawn again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.cli import main
from search.ledger.reader import read_trials
from tests.search.sweep.test_judged_sweep import TINY
from trm.files.yaml12 import dump_yaml, read_yaml


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_a_parallel_sweep_is_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRM_CACHE", str(tmp_path / "cache"))
    file, run = tmp_path / "tiny.yaml", tmp_path / "run"
    search: dict[str, Any] = {**TINY["search"], "seeds": 1, "constraints": []}
    file.write_text(dump_yaml({**TINY, "search": search}))
    words = ["sweep", str(file), "--parallel", "2", "--out", str(run)]
    assert main([*words, "--set", "search.limits.flops=1"]) == 1
    assert not any(trial.ended for trial in read_trials(run).values())
    assert main([*words, "--resume"]) == 0
    assert main([*words, "--resume", "--trials", "10"]) == 0
    drawn = [t for t in read_trials(run).values() if t.explores]
    assert len(drawn) >= 10
    assert {trial.asked["planned"] for trial in drawn} == {6, 10}
    capsys.readouterr()
    assert main(["simulate", str(run), "--replay"]) == 0
    said = capsys.readouterr().out
    assert f"{len(drawn) - 1} of {len(drawn) - 1} draws are the same" in said
    assert read_yaml(run / "sweep.yaml")["search"]["trials"] == 10
    # Had nobody noted in which order they ended, as many draws would be others.
    behind = [t for t in drawn if any(other < t.id for other in _open_at(drawn, t.id))]
    assert behind, "two workers: a config is drawn while another runs"


def _open_at(drawn: list[Any], number: int) -> set[int]:
    """Configs that had been drawn and whose end was not known when another was asked for."""
    ended: set[int] = set()
    for trial in drawn:
        ended |= {n for n, _, state in trial.asked["since"] if state not in (None, "paused")}
        if trial.id == number:
            break
    return {trial.id for trial in drawn if trial.id < number} - ended
