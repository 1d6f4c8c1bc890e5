"""ASHA against a table worked out by hand, replayed histories, and random search."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.asha import (
    Asha,
    AshaConfig,
    EarlyStoppingConfig,
    NoSchedulerConfig,
    rungs,
    starts_slowly,
)
from search.schedulers import SCHEDULERS
from trm.component import by_name

SHARES = (1 / 9, 1 / 3, 1.0)

# (trial, progress, score, decision): eta 3, larger is better. Scores at each rung after the
# decision are in the comments; floor(n / 3) of n go on once n >= 3.
TABLE: list[tuple[str, float, float | None, str]] = [
    ("a", 0.05, 0.10, "continue"),  # before the first rung
    ("a", 0.12, 0.30, "continue"),  # rung 1: .30
    ("b", 0.12, 0.50, "continue"),  # rung 1: .50 .30, fewer than 3
    ("c", 0.12, 0.40, "stop"),  # rung 1: .50 .40 .30, the best one goes on
    ("a", 0.20, 0.01, "continue"),  # between rungs nothing is decided
    ("d", 0.12, 0.60, "continue"),  # rung 1: .60 ...
    ("e", 0.12, 0.55, "stop"),  # 5 scores, floor(5 / 3) = 1: .60
    ("f", 0.12, 0.55, "continue"),  # 6 scores, the best two: .60 .55, a tie with e
    ("b", 0.34, 0.70, "continue"),  # rung 2: .70
    ("d", 0.34, 0.65, "continue"),  # rung 2: .70 .65
    ("f", 0.34, 0.66, "stop"),  # rung 2: .70 .66 .65
    ("c", 1.00, 0.99, "stop"),  # stopped trials stay stopped
    ("g", 0.50, 0.80, "continue"),  # passes both rungs at once: counts at rung 2 alone
    ("g", 0.12, 0.00, "continue"),  # a late report of a lower rung changes nothing
    ("h", 0.12, None, "stop"),
    ("i", 0.12, math.nan, "stop"),
    ("j", 0.01, math.inf, "stop"),
    ("k", 0.12, 0.54, "stop"),  # 7 scores at rung 1 (none of g, h, i, j): the best two
    ("b", 1.00, 0.20, "continue"),  # the end stops nothing
    ("d", 1.00, 0.10, "continue"),
    ("g", 1.00, 0.00, "continue"),
]


def test_the_table() -> None:
    asha = Asha(SHARES)
    for trial, progress, score, decision in TABLE:
        assert asha.decide(trial, progress, score) == decision, (trial, progress)
    assert asha.scores[0] == {
        "a": 0.3,
        "b": 0.5,
        "c": 0.4,
        "d": 0.6,
        "e": 0.55,
        "f": 0.55,
        "k": 0.54,
    }
    assert set(asha.scores[1]) == {"b", "d", "f", "g"}
    assert asha.stopped == set("cefhijk")


def test_smaller_is_better_mirrors_larger_is_better() -> None:
    asha = Asha(SHARES, mode="min")
    for trial, progress, score, decision in TABLE:
        assert asha.decide(trial, progress, None if score is None else -score) == decision
    assert asha.scores[1]["b"] == -0.7


def test_replay_restores_the_rungs_of_a_killed_driver() -> None:
    for cut in range(len(TABLE) + 1):
        asha = Asha(SHARES)
        stopped: set[int | str] = set()
        rows: list[tuple[str, float, float | None]] = []
        for trial, progress, score, decision in TABLE[:cut]:
            if trial not in stopped:
                rows.append((trial, progress, score))
            if decision == "stop":
                stopped.add(trial)
        # A ledger may give one trial's rows after the other's.
        asha.replay(sorted(rows, key=lambda row: row[0]), stopped)
        assert [asha.decide(*row[:3]) for row in TABLE[cut:]] == [row[3] for row in TABLE[cut:]]


def test_replay_does_not_judge_again() -> None:
    # In the order in which they came, c went on; sorted by trial, it would have been stopped.
    asha = Asha(SHARES)
    asha.replay([("a", 0.12, 0.9), ("b", 0.12, 0.8), ("c", 0.12, 0.1)])
    assert asha.stopped == set()
    assert asha.decide("c", 0.2, 0.1) == "continue"
    assert asha.decide("d", 0.12, 0.85) == "stop"


reports = st.tuples(
    st.integers(0, 9),
    st.sampled_from([0.05, 1 / 9, 0.2, 1 / 3, 0.7, 1.0]),
    st.one_of(st.none(), st.just(math.nan), st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])),
)


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(reports, max_size=60))
def test_repeated_reports_change_nothing(rows: list[tuple[int, float, float | None]]) -> None:
    once, twice = Asha(SHARES), Asha(SHARES)
    first = [once.decide(*row) for row in rows]
    doubled = [(twice.decide(*row), twice.decide(*row)) for row in rows]
    assert [(decision, decision) for decision in first] == doubled
    assert once == twice
    stopped = False
    for (trial, _, _), decision in zip(rows, first, strict=True):
        if trial == 0:
            assert decision == "stop" or not stopped
            stopped = decision == "stop"


def test_a_mark_that_is_off_by_rounding_reaches_its_rung() -> None:
    budget = 3.3e14
    for share in SHARES:
        asha = Asha(SHARES)
        asha.decide("a", np.nextafter(share * budget, 0) / budget, 0.5)
        assert [len(seen) for seen in asha.scores].index(1) == SHARES.index(share)


@pytest.mark.parametrize(
    ("min_share", "eta", "expected"),
    [
        (1 / 9, 3, (1 / 9, 1 / 3, 1)),
        (1 / 16, 4, (1 / 16, 1 / 4, 1)),
        (0.25, 3, (0.25, 1)),  # 0.75 would save a quarter at most
        (0.5, 2, (0.5, 1)),
        (0.9, 3, (1,)),
        (0.1, 3, (0.1, 0.3, 1)),
    ],
)
def test_rungs(min_share: float, eta: float, expected: tuple[float, ...]) -> None:
    assert rungs(min_share, eta) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("parameter", "slow"),
    [
        ("curriculum.depth", True),
        ("curriculum.depth.stages[0].at", True),
        ("optimizer[muon].schedule", True),
        ("optimizer.lr_floor", True),
        ("optimizer.weight_decay", False),
        ("optimizer[adamw].lr", False),
        ("model.H_cycles", False),
    ],
)
def test_slow_starters_get_a_first_rung_of_a_quarter(parameter: str, slow: bool) -> None:
    assert starts_slowly(["model.L_cycles", parameter]) == slow
    first = AshaConfig().build(starts_slowly([parameter])).rungs[0]
    assert first == (0.25 if slow else pytest.approx(1 / 9))


def test_a_slow_start_never_lowers_the_first_rung() -> None:
    assert AshaConfig(min_share=0.5).build(slow_start=True).rungs == (0.5, 1.0)


def test_without_a_scheduler_only_broken_scores_stop() -> None:
    asha = NoSchedulerConfig().build(slow_start=True)
    assert asha.rungs == (1.0,)
    rng = np.random.default_rng(0)
    for trial in range(20):
        for progress in (0.1, 0.5, 1.0):
            assert asha.decide(trial, progress, float(rng.random())) == "continue"
    assert asha.decide("nan", 0.1, math.nan) == "stop"


@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_schedulers_are_registered_under_their_name(name: str) -> None:
    config = by_name(SCHEDULERS, name)
    assert config.name == name
    assert config.marks(False)[-1] == 1.0
    if isinstance(config, EarlyStoppingConfig):
        assert config.build(False).rungs == config.marks(False)


@pytest.mark.parametrize(
    "section", [{"name": "asha", "eta": 1}, {"name": "asha", "min_share": 0}, {"name": "ashaa"}]
)
def test_configs_are_checked(section: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"eta|min_share|did you mean asha"):
        by_name(SCHEDULERS, section)


def best_found(asha: Asha, seed: int, budget: float) -> float:
    """True final quality of the pick when configs are tried one by one within a total budget.

    Curves rise to a config's quality at a rate of its own, with noise of the seed at each report.
    """
    rng = np.random.default_rng(seed)
    spent, pick = 0.0, (-1.0, 0.0)
    for trial in range(10_000):
        quality, rate = rng.beta(2, 4), rng.uniform(3, 9)
        noise = rng.normal(0, 0.03, len(SHARES))
        before = 0.0
        for share, error in zip(SHARES, noise, strict=True):
            spent += share - before
            if spent > budget:
                return pick[1]
            score = quality * (1 - math.exp(-rate * share)) + error
            before = share
            if share == 1.0:
                pick = max(pick, (score, quality))
            if asha.decide(trial, share, score) == "stop":
                break
    raise AssertionError("the budget was never spent")


def test_at_equal_compute_asha_finds_better_configs_than_random_search() -> None:
    seeds = range(40)
    halved = [best_found(Asha(SHARES), seed, 20.0) for seed in seeds]
    random = [best_found(Asha((1.0,)), seed, 20.0) for seed in seeds]
    gain = np.subtract(halved, random)
    assert gain.mean() > 2 * gain.std(ddof=1) / math.sqrt(len(gain))
    assert gain.mean() > 0.04
