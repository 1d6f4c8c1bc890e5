"""ASHA against a table worked out by hand, replayed histories, and random search."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.schedulers.asha import Asha, AshaConfig
from search.schedulers.none import NoSchedulerConfig
from search.schedulers.rungs import geometric_shares

SHARES = (1 / 9, 1 / 3, 1.0)

# (trial, progress, score, decision): eta 3, larger is better. Scores at each rung after the
# decision are in the comments; floor(n / 3) of n go on once n >= 3.
TABLE: list[tuple[int, float, float | None, str]] = [
    (0, 0.05, 0.10, "continue"),  # before the first rung
    (0, 0.12, 0.30, "continue"),  # rung 1: .30
    (1, 0.12, 0.50, "continue"),  # rung 1: .50 .30, fewer than 3
    (2, 0.12, 0.40, "stop"),  # rung 1: .50 .40 .30, the best one goes on
    (0, 0.20, 0.01, "continue"),  # between rungs nothing is decided
    (3, 0.12, 0.60, "continue"),  # rung 1: .60 ...
    (4, 0.12, 0.55, "stop"),  # 5 scores, floor(5 / 3) = 1: .60
    (5, 0.12, 0.55, "continue"),  # 6 scores, the best two: .60 .55, a tie with 4
    (1, 0.34, 0.70, "continue"),  # rung 2: .70
    (3, 0.34, 0.65, "continue"),  # rung 2: .70 .65
    (5, 0.34, 0.66, "stop"),  # rung 2: .70 .66 .65
    (2, 1.00, 0.99, "stop"),  # stopped trials stay stopped
    (6, 0.50, 0.80, "continue"),  # passes both rungs at once: counts at rung 2 alone
    (6, 0.12, 0.00, "continue"),  # a late report of a lower rung changes nothing
    (7, 0.12, None, "stop"),
    (8, 0.12, math.nan, "stop"),
    (9, 0.01, math.inf, "stop"),
    (10, 0.12, 0.54, "stop"),  # 7 scores at rung 1 (none of 6 to 9): the best two
    (1, 1.00, 0.20, "continue"),  # the end stops nothing
    (3, 1.00, 0.10, "continue"),
    (6, 1.00, 0.00, "continue"),
]


def test_the_table() -> None:
    asha = Asha(SHARES)
    for trial, share, score, decision in TABLE:
        assert asha.on_report(trial, share, score) == decision, (trial, share)
    assert asha.rungs.values[0] == {0: 0.3, 1: 0.5, 2: 0.4, 3: 0.6, 4: 0.55, 5: 0.55, 10: 0.54}
    assert set(asha.rungs.values[1]) == {1, 3, 5, 6}
    assert asha.stopped == {2, 4, 5, 7, 8, 9, 10}


def test_smaller_is_better_mirrors_larger_is_better() -> None:
    asha = Asha(SHARES, mode="min")
    for trial, share, score, decision in TABLE:
        assert asha.on_report(trial, share, None if score is None else -score) == decision


def told(asha: Asha, table: list[tuple[int, float, float | None, str]]) -> None:
    """What a ledger would hold of a table's reports, one trial after the other."""
    for trial in sorted({row[0] for row in table}):
        rows, standing = [], "open"
        for _, share, score, decision in (row for row in table if row[0] == trial):
            if standing == "open":
                rows.append((share, score))
                standing = "stopped" if decision == "stop" else "open"
        asha.replay(trial, rows, standing)  # type: ignore[arg-type]


@pytest.mark.parametrize("cut", range(len(TABLE) + 1))
def test_replay_restores_the_rungs_of_a_killed_driver(cut: int) -> None:
    asha = Asha(SHARES)
    told(asha, TABLE[:cut])
    assert [asha.on_report(*row[:3]) for row in TABLE[cut:]] == [row[3] for row in TABLE[cut:]]


def test_replay_does_not_judge_again() -> None:
    # In the order in which they came, 2 went on; sorted by trial, it would have been stopped.
    asha = Asha(SHARES)
    for trial, score in enumerate([0.9, 0.8, 0.1]):
        asha.replay(trial, [(0.12, score)], "open")
    assert asha.on_report(2, 0.2, 0.1) == "continue"
    assert asha.on_report(3, 0.12, 0.85) == "stop"


def test_a_trial_that_fails_frees_its_place() -> None:
    asha = Asha(SHARES)
    for trial, score in enumerate([0.9, 0.8, 0.7]):
        asha.on_report(trial, 0.12, score)
    asha.on_end(0, failed=True)
    assert asha.on_report(3, 0.12, 0.85) == "continue"
    replayed = Asha(SHARES)
    for trial, score, standing in ((0, 0.9, "failed"), (1, 0.8, "open"), (2, 0.7, "stopped")):
        replayed.replay(trial, [(0.12, score)], standing)  # type: ignore[arg-type]
    assert replayed.on_report(3, 0.12, 0.85) == "continue"


@pytest.mark.parametrize("broken", [None, math.nan, math.inf])
def test_a_trial_whose_score_breaks_frees_its_place(broken: float | None) -> None:
    asha, replayed = Asha(SHARES), Asha(SHARES)
    for trial, score in enumerate([0.9, 0.8, 0.7]):
        asha.on_report(trial, 0.12, score)
    assert asha.on_report(0, 0.2, broken) == "stop"
    replayed.replay(0, [(0.12, 0.9), (0.2, broken)], "stopped")
    replayed.replay(1, [(0.12, 0.8)], "open")
    replayed.replay(2, [(0.12, 0.7)], "stopped")
    assert asha.on_report(3, 0.12, 0.85) == replayed.on_report(3, 0.12, 0.85) == "continue"


reports = st.tuples(
    st.integers(0, 9),
    st.sampled_from([0.05, 1 / 9, 0.2, 1 / 3, 0.7, 1.0]),
    st.one_of(st.none(), st.just(math.nan), st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])),
)


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(reports, max_size=60))
def test_repeated_reports_change_nothing(rows: list[tuple[int, float, float | None]]) -> None:
    once, twice = Asha(SHARES), Asha(SHARES)
    first = [once.on_report(*row) for row in rows]
    doubled = [(twice.on_report(*row), twice.on_report(*row)) for row in rows]
    assert [(decision, decision) for decision in first] == doubled
    assert once.rungs.values == twice.rungs.values
    stopped = False
    for (trial, _, _), decision in zip(rows, first, strict=True):
        if trial == 0:
            assert decision == "stop" or not stopped
            stopped = decision == "stop"


def test_a_mark_that_is_off_by_rounding_reaches_its_rung() -> None:
    budget = 3.3e14
    for share in SHARES:
        asha = Asha(SHARES)
        asha.on_report(0, np.nextafter(share * budget, 0) / budget, 0.5)
        assert [len(seen) for seen in asha.rungs.values].index(1) == SHARES.index(share)


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
    assert geometric_shares(min_share, eta) == pytest.approx(expected)


def test_a_slow_start_never_lowers_the_first_rung() -> None:
    assert AshaConfig(min_share=0.5).build(slow_start=True).shares == (0.5, 1.0)


def test_without_a_scheduler_only_broken_scores_stop() -> None:
    asha = NoSchedulerConfig().build(slow_start=True)
    assert asha.shares == (1.0,)
    rng = np.random.default_rng(0)
    for trial in range(20):
        for progress in (0.1, 0.5, 1.0):
            assert asha.on_report(trial, progress, float(rng.random())) == "continue"
    assert asha.on_report(99, 0.1, math.nan) == "stop"
