"""What a confirmed config is said to lose deeper, and what it promises at a depth and breadth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.analysis.result_text import result_text
from search.config.plan import Plan
from search.ledger.ledger import Ledger
from search.ledger.trial import Trial
from search.stability.deeper import depth_loss, thought_promise
from search.stability.result import (
    RESULT_FILE,
    RESULT_VERSION,
    DepthLoss,
    Finalist,
    Promise,
    Result,
    read_result,
)
from search.stats.intervals import prediction_interval
from tests.support.damaged import finished_run
from tests.support.planned import planned

TREE: dict[str, Any] = {
    "name": "deeper",
    "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 40,
             "valid_examples": 10, "test_examples": 10},
    "model": {"hidden_size": 16, "num_heads": 2, "L_cycles": {"int": [1, 6]}},
    "train": {"budget": {"steps": 10}},
    "thought": {"examples": 8},
    "stability": {"depth": 4, "breadth": 8},
}  # fmt: skip


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planned(TREE)


@pytest.fixture
def ledger(tmp_path: Path, plan: Plan) -> Iterator[Ledger]:
    with Ledger.create(tmp_path / "run") as opened:
        yield opened


def ran(plan: Plan, ledger: Ledger, seed: int, **columns: float | None) -> Trial:
    """A promise run with a last report of these columns; a failed one without."""
    params = plan.space.default()[0]
    trial = ledger.add_trial(
        stage="promise", candidate=0, params=params, config=plan.space.apply(params), seed=seed
    )
    attempt = ledger.begin_attempt(trial.id)
    row = {"mark": 1, "compute": 1.0, "exact_accuracy": 0.5, "diverged": not columns, **columns}
    ledger.acknowledge(trial.id, attempt, row)
    ledger.finish(trial.id, "completed" if columns else "diverged", 0.5 if columns else 0.0)
    return ledger.trials[trial.id]


def test_what_is_lost_is_a_mean_over_seeds_that_were_evaluated(plan: Plan, ledger: Ledger) -> None:
    trials = [
        ran(plan, ledger, 1, depth_drop_x16=0.1), ran(plan, ledger, 2, depth_drop_x16=-0.02),
        ran(plan, ledger, 3), ran(plan, ledger, 4, depth_drop_x16=None),
    ]  # fmt: skip
    assert depth_loss(ledger, trials) == DepthLoss(pytest.approx(0.04), 0.1, 2)
    assert depth_loss(ledger, trials[2:]) is None


def test_the_promise_at_a_depth_counts_failures_at_the_floor(plan: Plan, ledger: Ledger) -> None:
    trials = [
        ran(plan, ledger, 1, thought_accuracy=0.9), ran(plan, ledger, 2, thought_accuracy=0.75),
        ran(plan, ledger, 3),
    ]  # fmt: skip
    found = thought_promise(plan, ledger, trials)
    assert found is not None
    assert (found.depth, found.breadth, found.scores) == (4, 8, [0.9, 0.75, 0.0])
    interval = prediction_interval([0.9, 0.75, 0.0], 0.9, examples=8)
    assert (found.low, found.high) == (interval.low, interval.high)
    older = ran(plan, ledger, 4, exact_accuracy=0.9)
    assert thought_promise(plan, ledger, [*trials, older]) is None
    none_asked = planned(TREE | {"stability": {}})
    assert thought_promise(none_asked, ledger, trials) is None


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of before there was any of this."""
    return finished_run(tmp_path_factory.mktemp("old") / "run")


def known(folder: Path) -> Result:
    found = read_result(folder)
    assert found is not None
    return found


def test_an_older_result_has_none_of_it(old: Path) -> None:
    result = known(old)
    assert result.promise.deeper is None
    assert result.promise.thought is None
    assert all(candidate.deeper is None for candidate in result.candidates)


def test_it_is_kept_and_printed(old: Path, plan: Plan, ledger: Ledger, tmp_path: Path) -> None:
    from search.config.plan import read_plan
    from search.ledger.reader import read_book

    trials = [ran(plan, ledger, seed, thought_accuracy=0.5 + seed / 10) for seed in (1, 2)]
    result, lost = known(old), DepthLoss(0.31, 0.45, 3)

    def deep(finalist: Finalist) -> Finalist:
        return replace(finalist, deeper=lost)

    promise: Promise = replace(
        result.promise, deeper=lost, thought=thought_promise(plan, ledger, trials)
    )
    changed = replace(result, promise=promise, candidates=[deep(one) for one in result.candidates])
    folder = finished_run(tmp_path / "kept")
    changed.save(folder)
    assert known(folder) == changed
    assert json.loads((folder / RESULT_FILE).read_text())["schema_version"] == RESULT_VERSION
    text = result_text(read_plan(old), changed, read_book(old))
    head, first = text.splitlines()[1:3]
    assert "lost16x" in head
    assert "0.310" in first
    assert "at 16 times the trained depth it loses 0.310" in text
    assert "the worst of 3 seeds 0.450" in text
    assert "exact accuracy at 4x depth, 8 rollouts: 0.650, promised" in text
    plain = result_text(read_plan(old), result, read_book(old))
    assert "lost16x" not in plain
    assert "16 times" not in plain
