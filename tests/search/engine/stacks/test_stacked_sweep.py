"""Whole sweeps on Ray whose seeds train together: the same winner, and nothing is ever lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.analysis.run_logs import trial_story
from search.ledger.reader import read_book, read_trials
from search.ledger.trial import Trial
from search.logs.terminal import SweepDisplay
from search.stability.result import Result, read_result
from search.sweep.launch import sweep

TREE: dict[str, Any] = {
    "name": "stacked",
    "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 200,
             "valid_examples": 60, "test_examples": 60},
    "model": {"mixer": "mlp_t", "hidden_size": {"choice": [8, 16]}, "L_layers": 1,
              "expansion": 1.0, "swiglu_multiple": 8, "puzzle_emb_len": 1, "halt_max_steps": 2,
              "H_cycles": 1, "L_cycles": 1},
    "optimizer": {"name": "adamw", "lr_warmup_steps": 5, "lr": {"loguniform": [3e-3, 3e-2]}},
    "train": {"batch_size": 32, "budget": {"steps": 30}, "reports": 3, "ema": None},
    "search": {"trials": 3, "objective": "cell_accuracy", "scheduler": "none", "seeds": 2},
    "stability": {"candidates": 2, "seeds": 3, "promise_seeds": 3},
}  # fmt: skip

pytestmark = [
    pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("ray_cluster"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


class Once(SweepDisplay):
    """Does something when the first seed of the confirm stage has reported."""

    def __init__(self, act: Callable[[int], None]) -> None:
        super().__init__(quiet=True)
        self.act, self.pid, self.done = act, 0, False

    def started(self, trial: Trial, worker: str) -> None:
        self.pid = int(worker.rpartition(":")[2])

    def reported(self, trial: Trial, row: Any, score: float) -> None:
        if trial.stage == "confirm" and not self.done:
            self.done = True
            self.act(self.pid)


def swept(run: Path, stack: str, act: Callable[[int], None] | None = None, **more: Any) -> None:
    display = None if act is None else Once(act)
    sweep(TREE, sets=[f"cluster.stack={stack}"], out=run, parallel=1, display=display, **more)


def interrupt(pid: int) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def scores(run: Path) -> dict[tuple[str, int, int], float | None]:
    return {(t.stage, t.candidate, t.seed): t.score for t in read_trials(run).values()}


def result_of(run: Path) -> Result:
    found = read_result(run)
    assert found is not None
    return found


def together(run: Path) -> set[tuple[int, ...]]:
    stacks = (trial.provenance.get("stack", ()) for trial in read_trials(run).values())
    return {tuple(stack) for stack in stacks if stack}


def test_the_same_winner_after_a_kill_and_a_resume_of_either_kind(tmp_path: Path) -> None:
    swept(tmp_path / "off", "off")
    expected = scores(tmp_path / "off")
    assert not together(tmp_path / "off")

    killed = tmp_path / "killed"
    swept(killed, "3", lambda pid: os.kill(pid, signal.SIGKILL))
    book = read_book(killed)
    lost = {n for n, many in book.attempts.items() if many}
    assert len(lost) == 3, "a worker's death ends three attempts"
    assert {one.cause for many in book.attempts.values() for one in many} == {"worker"}
    assert any(book.trials[n].mark and many[0].mark == 1 for n, many in book.attempts.items())
    story = trial_story(killed, max(lost)).text()
    assert f"trained as one model with trials {', '.join(map(str, sorted(lost)[:-1]))}" in story

    for first, then in (("3", "off"), ("off", "4")):
        run = tmp_path / f"{first}, then {then}"
        with pytest.raises(KeyboardInterrupt):
            swept(run, first, interrupt)
        swept(run, then, resume=True)

    for run in tmp_path.iterdir():
        # What a trial says of it is of its last attempt.
        assert bool(together(run)) == (run.name in ("killed", "off, then 4")), run
        wrote = [path.read_text() for path in run.glob("logs/*/*.txt")]
        assert any("trained as one model" in text for text in wrote) == (run.name != "off"), run
        found = scores(run)
        assert found.keys() == expected.keys(), run
        for key, score in found.items():
            assert score == pytest.approx(expected[key], abs=0.01), (run, key)
        ours, theirs = result_of(run), result_of(tmp_path / "off")
        assert ours.winner == theirs.winner
        assert [one.seeds for one in ours.candidates] == [one.seeds for one in theirs.candidates]
        assert ours.promise.seeds == theirs.promise.seeds
        assert all(trial.completed for trial in read_trials(run).values())
