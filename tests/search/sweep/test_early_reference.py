"""Workers that a stage has nothing for run the reference recipe, over stages played by hand."""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import Any

import pytest

from search.config.limits import LimitsConfig, Meter
from search.config.plan import Plan
from search.config.seeds import REFERENCE
from search.ledger.ledger import Ledger
from search.ledger.trial import Trial
from search.logs.terminal import SweepDisplay
from search.sweep.stages import SweepStages
from tests.support.planned import planned

TREE: dict[str, Any] = {
    "name": "early",
    "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 40,
             "valid_examples": 10, "test_examples": 10},
    "model": {"hidden_size": 16, "num_heads": 2, "L_cycles": {"int": [1, 6]}},
    "train": {"budget": {"steps": 10}, "seed": 7},
    "search": {"trials": 4, "scheduler": "none", "sampler": "random"},
    "stability": {"candidates": 2, "seeds": 2, "racing": False, "promise_seeds": 3},
}  # fmt: skip


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planned(TREE)


def stages_of(plan: Plan, ledger: Ledger) -> SweepStages:
    meter = Meter(LimitsConfig(), plan.budget, 1, 2, lambda: 0.0, lambda: (0.0, 0.0), ledger.trials)
    task = plan.default.task.build()
    return SweepStages(plan, ledger, task, SweepDisplay(quiet=True), meter, explore=True)


def score(trial: Trial, best: int) -> float:
    off = abs(trial.params["model.L_cycles"] - best)
    return 0.9 - 0.1 * off + 0.001 * (trial.seed % 7)


def play(
    plan: Plan,
    ledger: Ledger,
    slots: int,
    best: int = 6,
    most: int = 1000,
    fails: bool = False,
    stack: int = 1,
) -> tuple[list[Trial], float]:
    """Every trial that ended, in order, and the share of the slots that was idle."""
    stages, now, idle = stages_of(plan, ledger), 0.0, 0.0
    running: list[tuple[float, int, Trial]] = []
    ended: list[Trial] = []
    while len(ended) < most:
        while len(running) < slots and (trial := stages.next()) is not None:
            for one in (trial, *(stages.beside(trial, stack - 1) if stack > 1 else ())):
                ledger.begin_attempt(one.id)
                length = 1.0 + 0.1 * (one.id % 3)
                heapq.heappush(running, (now + length, one.id, one))
        if not running:
            assert stages.exhausted()
            break
        then, _, trial = heapq.heappop(running)
        idle += (then - now) * (slots - 1 - len(running))
        now = then
        ledger.finish(trial.id, "crashed" if fails else "completed", score(trial, best))
        ended.append(trial)
        stages.on_end(trial)
    if len(ended) < most:
        assert stages.result is not None
        stages.result.save(ledger.folder)
    return ended, idle / (now * slots)


def test_idle_workers_run_the_reference_recipe_and_the_result_is_the_same(
    plan: Plan, tmp_path: Path
) -> None:
    with Ledger.create(tmp_path / "one") as ledger:
        alone, _ = play(plan, ledger, slots=1)
    with Ledger.create(tmp_path / "three") as ledger:
        beside, idle = play(plan, ledger, slots=3)
    stages = [trial.stage for trial in beside]
    assert stages.index("reference") < stages.index("promise")
    assert [trial.stage for trial in alone][-6:].count("reference") == 3

    def runs(trials: list[Trial]) -> list[tuple[Any, ...]]:
        return sorted((t.stage, t.candidate, t.seed, str(t.params)) for t in trials)

    def named(trials: list[Trial]) -> list[tuple[Any, ...]]:
        by_id = {trial.id: str(trial.params) for trial in trials}
        return sorted((t.stage, by_id.get(t.candidate, ""), t.seed, str(t.params)) for t in trials)

    assert len(set(runs(beside))) == len(beside), "a run was handed out twice"
    assert named(beside) == named(alone)
    assert idle < 0.2


def test_seeds_that_begin_together_are_those_of_one_by_one(plan: Plan, tmp_path: Path) -> None:
    ended = {}
    for stack in (1, 4):
        with Ledger.create(tmp_path / str(stack)) as ledger:
            trials, _ = play(plan, ledger, slots=2, stack=stack)
        by_id = {trial.id: str(trial.params) for trial in trials}
        ended[stack] = [(t.stage, by_id.get(t.candidate), t.seed, str(t.params)) for t in trials]
        assert len(set(ended[stack])) == len(trials)
    assert sorted(ended[1], key=str) == sorted(ended[4], key=str)


def test_the_recipe_as_the_winner_keeps_the_runs_that_it_had_early(
    plan: Plan, tmp_path: Path
) -> None:
    default = plan.space.default()[0]["model.L_cycles"]
    with Ledger.create(tmp_path / "run") as ledger:
        ended, _ = play(plan, ledger, slots=3, best=default)
    assert [trial.stage for trial in ended].count("reference") == 3
    assert "promise" not in {trial.stage for trial in ended}


def test_a_search_in_which_nothing_completed_gets_no_reference(plan: Plan, tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "run") as ledger:
        ended, _ = play(plan, ledger, slots=8, most=2, fails=True)
        assert {trial.stage for trial in ledger.trials.values()} == {"explore"}
    assert len(ended) == 2


@pytest.mark.parametrize("killed_after", [4, 6, 8, 10])
def test_a_sweep_that_was_killed_meanwhile_runs_each_of_them_once(
    plan: Plan, tmp_path: Path, killed_after: int
) -> None:
    with Ledger.create(tmp_path / "run") as ledger:
        play(plan, ledger, slots=3, most=killed_after)
    with Ledger.open(tmp_path / "run") as ledger:
        play(plan, ledger, slots=3)
        early = [t for t in ledger.trials.values() if t.stage == "reference"]
    assert sorted(trial.seed for trial in early) == [plan.seed + 1001 + i for i in range(3)]
    assert {trial.candidate for trial in early} == {REFERENCE}
    assert all(trial.ended for trial in early)
