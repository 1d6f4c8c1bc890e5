"""Promotion: who waits, who goes on, and who is given up."""

from __future__ import annotations

import math

import pytest

from search.schedulers.halving import Halving

SHARES = (1 / 9, 1 / 3, 1.0)


def filled(scores: list[float]) -> Halving:
    halving = Halving(SHARES)
    for trial, score in enumerate(scores):
        halving.on_report(trial, 0.12, score)
    return halving


def test_a_trial_waits_until_it_is_among_the_best_third() -> None:
    halving = Halving(SHARES)
    assert halving.on_report(0, 0.12, 0.5) == "pause"
    assert halving.promote() is None
    assert halving.on_report(1, 0.12, 0.4) == "pause"
    assert halving.on_report(2, 0.12, 0.3) == "pause"
    assert halving.promote() == 0
    assert halving.promote() is None
    # A third of three is taken by trial 0, though it is not the best any more.
    assert halving.on_report(3, 0.12, 0.6) == "continue", "the best of four, for one place"
    assert halving.on_report(4, 0.12, 0.1) == "pause"
    assert halving.on_report(5, 0.12, 0.45) == "pause"
    assert halving.promote() is None, "the best two of six have gone on"


def test_one_that_would_be_given_back_at_once_goes_on() -> None:
    halving = filled([0.1, 0.2])
    assert halving.on_report(2, 0.12, 0.3) == "continue"
    assert halving.on_report(2, 0.34, 0.3) == "pause"


def test_the_highest_rung_comes_first() -> None:
    halving = filled([0.9, 0.8, 0.1, 0.1, 0.1, 0.1])
    assert [halving.promote(), halving.promote()] == [0, 1]
    halving.on_report(0, 0.34, 0.9)
    halving.on_report(1, 0.34, 0.8)
    for trial in (6, 7, 8):
        halving.on_report(trial, 0.12, 0.7 if trial == 6 else 0.0)
    halving.on_report(9, 0.34, 0.1)
    assert halving.promote() == 0, "one of three at the second rung"
    assert halving.promote() == 6, "the third of the nine at the first"


def test_of_equal_ones_the_lowest_number_goes_on_and_no_more() -> None:
    halving = filled([0.0] * 9)
    assert [halving.promote() for _ in range(4)] == [0, 1, 2, None]


@pytest.mark.parametrize("broken", [None, math.nan, math.inf, -math.inf])
def test_a_broken_score_never_waits_nor_counts(broken: float | None) -> None:
    halving = filled([0.5, 0.4])
    assert halving.on_report(2, 0.12, broken) == "stop"
    assert halving.promote() is None, "two good scores are too few for a third"
    halving.on_report(3, 0.12, 0.3)
    assert halving.promote() == 0
    assert halving.on_report(0, 0.2, broken) == "stop"
    assert halving.promote() is None, "the other two are too few again"
    assert halving.on_report(0, 1.0, 0.9) == "stop"
    halving.on_report(4, 0.12, 0.35)
    assert halving.promote() == 1, "the best of three, the broken one not among them"


def test_a_failure_frees_its_place() -> None:
    halving = filled([0.9, 0.8, 0.7, 0.6])
    assert halving.promote() == 0
    assert halving.promote() is None
    halving.on_end(0, failed=True)
    assert halving.promote() == 1


def test_at_the_end_each_rung_passes_one_on_and_gives_up_the_rest() -> None:
    halving = filled([0.2, 0.5])
    assert halving.promote() is None
    assert halving.promote(last=True) == 1
    assert halving.on_report(1, 0.34, 0.5) == "pause"
    assert halving.promote(last=True) == 1
    assert halving.on_report(1, 1.0, 0.5) == "continue"
    halving.on_end(1, failed=False)
    assert halving.promote(last=True) is None
    assert halving.close() == [0]
    assert halving.close() == []
    assert halving.on_report(0, 0.34, 0.9) == "stop"


def test_at_the_end_the_next_best_replaces_one_that_failed() -> None:
    halving = filled([0.2, 0.5])
    assert halving.promote(last=True) == 1
    halving.on_end(1, failed=True)
    assert halving.promote(last=True) == 0


def test_replay_leaves_no_trace_of_what_broke_or_failed() -> None:
    halving = Halving(SHARES)
    halving.replay(0, [(0.12, 0.9), (0.2, math.nan)], "stopped")
    halving.replay(1, [(0.12, 0.8)], "failed")
    halving.replay(2, [(0.12, 0.2)], "paused")
    halving.replay(3, [(0.12, 0.1)], "paused")
    assert halving.promote() is None
    assert halving.on_report(4, 0.12, 0.3) == "continue", "the best of three"
    assert halving.on_report(0, 0.34, 0.9) == "stop"


def test_replay_tells_those_that_wait_from_those_that_went_on() -> None:
    halving = Halving(SHARES)
    halving.replay(0, [(0.12, 0.9)], "open")
    for trial in range(1, 6):
        halving.replay(trial, [(0.12, 0.8 - trial / 10)], "paused")
    assert halving.promote() == 1, "the second of two places; the first one's trial went on"
    assert halving.promote() is None
